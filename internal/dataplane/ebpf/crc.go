package ebpf

import "hash/crc32"

// crcSteps is crc_steps of sctp.h: entry k is the matrix that carries a change
// of a CRC32c over 2^k bytes, a column for each bit of it.
func crcSteps() (steps [16][32]uint32) {
	for b := range 32 {
		v := uint32(1) << b
		for range 8 {
			low := v & 1
			v >>= 1
			if low != 0 {
				v ^= crc32.Castagnoli
			}
		}
		steps[0][b] = v
	}
	for k := 1; k < len(steps); k++ {
		for b := range 32 {
			once := steps[k-1][b]
			for c := range 32 {
				if once>>c&1 != 0 {
					steps[k][b] ^= steps[k-1][c]
				}
			}
		}
	}
	return steps
}

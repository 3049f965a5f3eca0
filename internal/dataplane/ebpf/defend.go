package ebpf

import (
	"bytes"
	"os"
	"strconv"

	"github.com/weir-lb/weir/internal/lvs"
)

// The modes of IPVS's three defences: off, by themselves under memory
// pressure (1 while there is none, 2 while there is), always.
const (
	defenceOff    = 0
	defenceAlways = 3
)

// defend works out which defences are up (IPVS.md e.10). Pressure is told by
// free memory, as in IPVS: less of it than amemthresh pages.
func (p *Plane) defend(s *engineSettings) {
	v := &p.tuning.Sysctls
	on := func(which lvs.Sysctl) bool {
		return v[which] == defenceAlways || v[which] != defenceOff && p.lacking > 0
	}
	s.Sys &^= sysSecureTCP | sysDropEntry
	if on(lvs.SecureTCP) {
		s.Sys |= sysSecureTCP
	}
	if on(lvs.DropEntry) {
		s.Sys |= sysDropEntry
	}
	s.DropRate = 0
	switch {
	case v[lvs.DropPacket] == defenceAlways:
		s.DropRate = uint32(v[lvs.AmDroprate])
	case on(lvs.DropPacket):
		s.DropRate = uint32(max(1, v[lvs.Amemthresh]/p.lacking))
	}
}

// watchMemory sees whether memory is short, if a defence wants to know, and
// puts the defences up or down.
func (p *Plane) watchMemory() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.tuning.Sysctls
	lacking := 0
	for _, s := range []lvs.Sysctl{lvs.DropEntry, lvs.DropPacket, lvs.SecureTCP} {
		if v[s] != defenceOff && v[s] != defenceAlways {
			text, err := os.ReadFile("/proc/meminfo")
			if err != nil {
				return nil // no judgement without it: the defences stay as they are
			}
			lacking = max(0, v[lvs.Amemthresh]-availablePages(text))
			break
		}
	}
	if lacking == p.lacking {
		return nil
	}
	p.lacking = lacking
	return p.retune()
}

// availablePages are free pages and buffers in a /proc/meminfo, what IPVS
// takes for available.
func availablePages(text []byte) int {
	kib := 0
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) < 2 || string(f[0]) != "MemFree:" && string(f[0]) != "Buffers:" {
			continue
		}
		n, _ := strconv.Atoi(string(f[1]))
		kib += n
	}
	return kib * 1024 / os.Getpagesize()
}

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/guest"
)

// Told begins the line in which the guest tells its figures.
const Told = "figures: "

const guestMethod = "Debian's kernel 6.1 in QEMU without hardware support (tcg), one virtual processor, so that only ratios mean anything. " +
	"The test-run facility of the kernel sends frames of many flows over a veth to a director, and a sink in XDP counts and drops them at the end of another: generator, sink and director share the processor, " +
	"and each contestant has such a row of its own; they take turns. ip_vs has its largest table (conn_tab_bits=20), weir has its table made for a million connections, and sweeps it in its turns. " +
	"What arrived must be what was sent but for one in a hundred, and as many connections known as there should be. “Bare redirect” is a program that only sends packets on, through the same door: nothing can be faster there. " +
	"Through tc most of the time goes into making an sk_buff of a generated frame, for ip_vs, too; the kernel does not clear the page of each (init_on_alloc=0), as it need not where a driver uses its pages again. Connections are opened by an ACK (sloppy_tcp), but for the rows of new ones."

// Guest has weir and the kernel's IPVS compared in an emulated machine, which
// has Debian's kernel with ip_vs. This very program runs there, too.
func Guest(ctx context.Context, args []string, out io.Writer) (s Series, err error) {
	ctx, stop := context.WithTimeout(ctx, 15*time.Minute)
	defer stop()
	self, err := os.Executable()
	if err != nil {
		return s, err
	}
	m := guest.Machine{Cache: filepath.Join(".cache", "guest"), Memory: 6144, Kernel: "init_on_alloc=0", Files: []guest.File{
		{From: self, To: "weir-bench", Mode: 0o755},
	}}
	var said bytes.Buffer
	// ip_vs gets the largest table there is.
	const script = `mount -t bpf bpf /sys/fs/bpf
for m in $(lsmod | awk '/^ip_vs_/ {print $1}'); do rmmod $m; done
rmmod ip_vs && insmod $(find /lib/modules -name 'ip_vs.ko*') conn_tab_bits=20 && insmod $(find /lib/modules -name 'ip_vs_wlc.ko*') || exit 1
./weir-bench duel --receive-first %s
`
	code, err := m.Run(ctx, fmt.Sprintf(script, strings.Join(args, " ")), io.MultiWriter(&said, out))
	if err != nil {
		return s, err
	}
	if code != 0 {
		return s, fmt.Errorf("in the guest: exit code %d", code)
	}
	for line := range strings.Lines(said.String()) {
		if text, ok := strings.CutPrefix(line, Told); ok {
			if err := json.Unmarshal([]byte(text), &s); err != nil {
				return s, fmt.Errorf("read the guest's figures: %w", err)
			}
			s.Method = guestMethod
			return s, nil
		}
	}
	return s, errors.New("the guest told no figures")
}

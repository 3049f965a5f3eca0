package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	dataplane "github.com/weir-lb/weir/internal/dataplane/ebpf"
)

// A peer is another balancer for XDP. Its object lies in a folder of the
// user's; only how its tables are filled is known here.
type peer struct {
	name    string
	program string
	object  func(m match) string                         // the file with the program
	fill    func(c *ebpf.Collection, m match) error      // with the service of a match
	before  func(c *ebpf.Collection) error               // each run; nil: nothing
	pace    uint32                                       // flows it takes in a second; 0: any
	missed  func(c *ebpf.Collection) (n uint64, e error) // packets of flows it did not know
}

// A match is what programs of balancers are compared in: one of weir's rows,
// and what the others make of it.
type match struct {
	row
	grows   map[string]int // by how many bytes a peer makes packets longer; who is missing has no such thing
	forgets string         // the peer that does not remember flows here
}

// A loaded is a peer's program for one match, on its own and behind the
// dispatcher.
type loaded struct {
	peer
	*subject
	coll *ebpf.Collection
}

func (p peer) load(folder string, m match) (*loaded, error) {
	spec, err := ebpf.LoadCollectionSpec(filepath.Join(folder, p.object(m)))
	if err != nil {
		return nil, err
	}
	program := spec.Programs[p.program]
	if program == nil {
		return nil, fmt.Errorf("%s has no program %s", p.object(m), p.program)
	}
	// As the dispatcher: programs of both kinds cannot share a table of programs.
	program.Flags |= unix.BPF_F_XDP_HAS_FRAGS
	spec.Programs = map[string]*ebpf.ProgramSpec{p.program: program}
	l := &loaded{peer: p}
	if l.coll, err = ebpf.NewCollection(spec); err != nil {
		return nil, fmt.Errorf("load %s: %w", p.object(m), err)
	}
	if err := p.fill(l.coll, m); err != nil {
		l.close()
		return nil, fmt.Errorf("fill its tables: %w", err)
	}
	if l.subject, err = splice(true, dataplane.Dissected{Program: program, Maps: l.coll.Maps}); err == nil {
		err = l.works(m)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *loaded) close() {
	if l.subject != nil {
		l.subject.close()
	}
	l.coll.Close()
}

// works says whether a packet leaves as it should: longer by its tunnel, or
// not at all.
func (l *loaded) works(m match) error {
	if err := l.prepare(); err != nil {
		return err
	}
	o := ebpf.RunOptions{Data: m.packet.bytes(), DataOut: make([]byte, 2*frameLength)}
	did, err := l.coll.Programs[l.program].Run(&o)
	if err != nil {
		return err
	}
	want := uint32(xdpTX)
	if m.verdict == "not-ours" {
		want = xdpPass
	}
	if grew := len(o.DataOut) - frameLength; did != want || grew != m.grows[l.name] {
		return fmt.Errorf("%w: action %d, want %d, and longer by %d bytes, want %d", errOtherRoad, did, want, grew, m.grows[l.name])
	}
	return nil
}

// What XDP programs answer.
const (
	xdpPass = 2
	xdpTX   = 3
)

func (l *loaded) prepare() error {
	if l.before == nil {
		return nil
	}
	return l.before(l.coll)
}

// open makes flows known, no faster than the program takes them.
func (l *loaded) open(m match, flows uint32) error {
	if err := l.prepare(); err != nil {
		return err
	}
	size := l.pace
	if size == 0 {
		size = max(flows, 1)
	}
	for first := uint32(0); first < flows; first += size {
		if first > 0 {
			time.Sleep(1100 * time.Millisecond)
		}
		if _, err := l.one(run{frame: m.packet, flows: flows, first: first, times: min(size, flows-first)}); err != nil {
			return err
		}
	}
	return nil
}

// run is a run in which all flows, or none, must have been known.
func (l *loaded) run(m match, r run) (float64, error) {
	if err := l.prepare(); err != nil {
		return 0, err
	}
	before, err := l.missed(l.coll)
	if err != nil {
		return 0, err
	}
	ns, err := l.one(r)
	if err != nil {
		return 0, err
	}
	after, err := l.missed(l.coll)
	if err != nil {
		return 0, err
	}
	if n := after - before; !m.anew && l.name != m.forgets && n > uint64(r.times/1000) {
		return 0, fmt.Errorf("%w: %d packets were of flows it does not know", errOtherRoad, n)
	}
	return ns, nil
}

// summed adds up one word of a map's value over all CPUs.
func summed(m *ebpf.Map, key any, word int) (n uint64, err error) {
	var perCPU [][]byte
	if err := m.Lookup(key, &perCPU); err != nil {
		return 0, err
	}
	for _, v := range perCPU {
		n += native.Uint64(v[8*word:])
	}
	return n, nil
}

// everywhere is a value for each CPU.
func everywhere(value []byte) (all [][]byte) {
	for range ebpf.MustPossibleCPU() {
		all = append(all, value)
	}
	return all
}

// here is the CPU of the calling thread, which is pinned.
func here() (uint32, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0, err
	}
	for i := range 1024 {
		if set.IsSet(i) {
			return uint32(i), nil
		}
	}
	return 0, errors.New("this process may use no CPU")
}

// versions are the lines of the folder's file VERSIONS, for the page.
func versions(folder string) (string, error) {
	text, err := os.ReadFile(filepath.Join(folder, "VERSIONS"))
	return strings.Join(strings.Split(strings.TrimSpace(string(text)), "\n"), ", "), err
}

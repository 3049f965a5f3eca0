package ebpf

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weir-lb/weir/internal/lvs"
)

// A whole sweep takes about a second, in slices, so that expiry never holds a
// processor for long.
const (
	sweepEvery = time.Second
	slices64   = 64
)

// A sweepTable is a table of connections, and whose they are.
type sweepTable struct {
	table  engineTable
	name   string
	family lvs.Family // with wide: any
	wide   bool
}

var sweepTables = []sweepTable{
	{engineTableTABLE_CONNS4, "conns4", lvs.IPv4, false}, {engineTableTABLE_CONNS6, "conns6", lvs.IPv6, false},
	{engineTableTABLE_HALF4, "half4", lvs.IPv4, false}, {engineTableTABLE_HALF6, "half6", lvs.IPv6, false},
	{engineTableTABLE_WIDE, "wides", 0, true},
}

// inUse are the tables that may hold connections: a destination keeps its
// number as long as one refers to it.
func (p *Plane) inUse() []sweepTable {
	p.mu.Lock()
	defer p.mu.Unlock()
	families, wide := make(map[lvs.Family]bool), false
	for k, d := range p.table.dests.all() {
		families[k.service.AF()] = true
		wide = wide || d.written.Flags&destWide != 0
	}
	return slices.DeleteFunc(slices.Clone(sweepTables), func(t sweepTable) bool {
		if t.wide {
			return !wide
		}
		return !families[t.family]
	})
}

// Run forgets outlived connections and drained destinations until ctx ends. A
// kernel that refuses the programs ends it, too.
func (p *Plane) Run(ctx context.Context) error {
	if err := p.engine.opened(); err != nil {
		return err
	}
	tick := time.NewTicker(sweepEvery / slices64)
	defer tick.Stop()
	var use lvs.ConnectionUse
	var tables []sweepTable
	for slice := 0; ; slice = (slice + 1) % slices64 {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if slice == 0 {
			tables = p.inUse()
		}
		if err := p.sweepSlice(tables, slice, &use); err != nil {
			return err
		}
		if slice == slices64-1 {
			p.finishSweep(use)
			if err := p.watchMemory(); err != nil {
				return err
			}
			use = lvs.ConnectionUse{}
			if err := p.forget(); err != nil {
				return err
			}
		}
	}
}

func (p *Plane) String() string { return "expiry" }

func (p *Plane) finishSweep(use lvs.ConnectionUse) {
	p.mu.Lock()
	defer p.mu.Unlock()
	use.Size = p.size()
	p.use = use
}

// size is the room there is, both families together.
func (p *Plane) size() int {
	n := 0
	for _, name := range []string{"conns4", "conns6"} {
		n += int(p.engine.maps[name].MaxEntries()) * 2 // half of four ways
	}
	return n
}

// sweepSlice forgets what is outlived in one slice of each of the tables.
func (p *Plane) sweepSlice(tables []sweepTable, slice int, use *lvs.ConnectionUse) error {
	for _, t := range tables {
		all := int(p.engine.maps[t.name].MaxEntries())
		from, to := all*slice/slices64, all*(slice+1)/slices64
		if from == to {
			continue
		}
		job := engineSweep{Table: t.table, From: uint32(from), Count: uint32(to - from)}
		if err := p.sweep(&job); err != nil {
			return fmt.Errorf("sweep %s: %w", t.name, err)
		}
		use.Used += int(job.Used)
		if t.table == engineTableTABLE_HALF4 || t.table == engineTableTABLE_HALF6 {
			use.Half += int(job.Used)
		}
	}
	return nil
}

func (p *Plane) sweep(job *engineSweep) error {
	_, err := p.engine.program(progSweep).Run(&ebpf.RunOptions{Context: job, ContextOut: job})
	return err
}

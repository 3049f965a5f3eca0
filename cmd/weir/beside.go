package main

import (
	"path/filepath"

	"github.com/weir-lb/weir/internal/api"
	"github.com/weir-lb/weir/internal/api/audit"
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/procfiles"
)

// besides are what a configuration changes beside the table.
type besides struct {
	door    *api.Door
	records *audit.Log
	proc    *procfiles.Keeper
	share   partner
}

// set does as c says from now. What cannot be done are warnings: the table
// does not wait for it.
func (b besides) set(c config.Config) (problems config.Problems) {
	if err := b.records.To(c.AuditFile); err != nil {
		problems.Warnf(c.AuditPlace, "audit_file: %v; it goes on where it went", err)
	}
	routers := make([]lvs.Router, 0, len(c.Routers))
	for _, r := range c.Routers {
		routers = append(routers, r.Router)
	}
	b.share.set(routers)
	p := c.ProcFiles
	if err := b.proc.Set(procfiles.Wish{Directory: p.Directory, Interval: p.Interval, Connections: p.Connections}); err != nil {
		problems.Warnf(p.Place, "%v; no proc files are written", err)
	}
	return append(problems, b.door.Set(c.API)...)
}

// procPath is where a weir remembers the directory of its proc files.
func procPath(socket string) string { return filepath.Join(filepath.Dir(socket), "proc_files") }

package main

import (
	"github.com/weir-lb/weir/internal/api"
	"github.com/weir-lb/weir/internal/api/audit"
	"github.com/weir-lb/weir/internal/config"
)

// besides are what a configuration changes beside the table.
type besides struct {
	door    *api.Door
	records *audit.Log
}

// set does as c says from now. What cannot be done are warnings: the table
// does not wait for it.
func (b besides) set(c config.Config) (problems config.Problems) {
	if err := b.records.To(c.AuditFile); err != nil {
		problems.Warnf(config.Place{}, "audit_file: %v; it goes on where it went", err)
	}
	return append(problems, b.door.Set(c.API)...)
}

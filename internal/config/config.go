// Package config is weir's one configuration: every dialect ends here, every
// default is filled in here, every rule across fields is checked here, and
// every problem is told with the file and line it stands in.
//
// It reads text that is handed to it and never opens a file, resolves a name
// or asks the system anything.
package config

import (
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A Place is where in which file something was said.
type Place struct {
	File string
	Line int // from 1; 0: the file as a whole
}

// A Config is a whole, checked configuration. Values given away are not
// changed afterwards.
type Config struct {
	Engine   Engine
	Marks    []lvs.Rule // the first that fits counts
	Services []Service
	Routers  []Router
	Drift    Drift // of a table that others change, too

	// AutoReload watches the file and reloads when its content changes.
	AutoReload bool
	// LogFile is ldirectord's logfile: an absolute path, or a syslog facility.
	// Empty: standard error.
	LogFile string
	// AuditFile is where it is written who changed what; empty: the log.
	AuditFile  string
	AuditPlace Place
	API        API
	ProcFiles  ProcFiles
}

// Mode says where the packet engine sits.
type Mode string

// The modes. Auto takes XDP where the driver runs it natively and nothing in
// the way breaks it, else tc.
const (
	ModeAuto Mode = "auto"
	ModeXDP  Mode = "xdp"
	ModeTC   Mode = "tc"
)

// An Engine configures what forwards packets.
type Engine struct {
	Dataplane    Dataplane
	Mode         Mode
	Interfaces   []string // names; empty: every Ethernet-like interface that is up
	Connections  int      // entries of the connection table of IPv4
	Connections6 int      // entries of that of IPv6; 0: as many
	HalfOpen     int      // entries of the half-open table, for each address family
	Wide         int      // entries of the wide table, for both families together
	Timeouts     lvs.Timeouts
	Sysctls      lvs.Sysctls
}

// A Service is a virtual service as it was asked for.
type Service struct {
	Key         lvs.ServiceKey
	Scheduler   lvs.Scheduler
	SchedFlags  uint8
	Persistence lvs.Persistence
	OnePacket   bool
	Reals       []Real // in file order
	Fallback    *lvs.Destination
	// FallbackPlace is where the fallback was asked for.
	FallbackPlace Place
	// Quiescent keeps a failed server in the table with weight 0 instead of
	// taking it out.
	Quiescent bool
	// CleanStop says whether `weir down` may remove the service.
	CleanStop bool
	Place     Place
}

// A Real is one real server of a service.
type Real struct {
	lvs.Destination
	Check Check
	Place Place
}

// Tuning is what of c a data plane is told beside the services.
func (c Config) Tuning() lvs.Tuning {
	return lvs.Tuning{Timeouts: c.Engine.Timeouts, Sysctls: c.Engine.Sysctls, Rules: c.Marks}
}

// The bounds of what may be asked for; the keys of weir.yaml tell them to
// people and Validate holds every dialect to them.
const (
	MaxWeight      = 65535
	MaxConnections = 1 << 26 // entries; some 8 GiB of them
	MinConnections = 1 << 10
	MaxTimeout     = 31 * 24 * time.Hour // ipvsadm's own limit
	MaxText        = 16 << 20            // bytes of a configuration file
	MaxRules       = 1024                // of the classifier, one for each range of ports
)

// Default is the configuration of an empty file.
func Default() Config {
	return Config{Drift: ReportDrift, Engine: Engine{
		Dataplane:   EBPF,
		Mode:        ModeAuto,
		Connections: 1000000,
		HalfOpen:    262144,
		Wide:        262144,
		Timeouts:    lvs.DefaultTuning().Timeouts,
		Sysctls:     lvs.DefaultSysctls(),
	}}
}

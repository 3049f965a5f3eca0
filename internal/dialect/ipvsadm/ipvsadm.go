// Package ipvsadm is ipvsadm's language, both ways: what is typed becomes a
// Command, or fails with the text and exit status of ipvsadm 1.31, and a table
// becomes the listings people and scripts know, to the column.
//
// It only reads and writes text: who carries a command out, and how, is not
// known here. Names of hosts and ports are asked of whoever uses it.
package ipvsadm

import (
	"net/netip"

	"github.com/weir-lb/weir/internal/dialect"
	"github.com/weir-lb/weir/internal/lvs"
)

// A Verb is one of ipvsadm's commands.
type Verb string

// The commands, by the names they have in messages.
const (
	AddService    Verb = "add-service"
	EditService   Verb = "edit-service"
	DeleteService Verb = "delete-service"
	Flush         Verb = "flush"
	List          Verb = "list"
	AddServer     Verb = "add-server"
	DeleteServer  Verb = "delete-server"
	EditServer    Verb = "edit-server"
	Set           Verb = "set"
	StartDaemon   Verb = "start-daemon"
	StopDaemon    Verb = "stop-daemon"
	Restore       Verb = "restore"
	Save          Verb = "save"
	Zero          Verb = "zero"
	Help          Verb = "help"
	Version       Verb = "version"
)

// A Command is what one command line asks for.
type Command struct {
	Verb        Verb
	Service     lvs.Service // its key, and for -A and -E all of it
	Named       bool        // a service was named
	Destination lvs.Destination
	Timeouts    lvs.Timeouts
	Show        Show
	Daemon      lvs.SyncDaemon
}

// A Mode is a way to list the table.
type Mode int

// The modes, in the order in which they win over each other.
const (
	Stats Mode = iota + 1
	Rates
	Thresholds
	PersistentConnections
	TunnelInfo
	Plain Mode = 0
)

// Show says what a listing shows, and how.
type Show struct {
	Mode        Mode
	Numeric     bool
	Exact       bool
	NoSort      bool
	Connections bool // the connections, not the table
	PE          bool // with what persistence engines know of them
	Timeouts    bool
	Daemons     bool
}

// Names are what the system calls things. Each may be nil.
type Names struct {
	dialect.Names
	HostName func(netip.Addr) string                   // empty: it has none
	PortName func(port uint16, protocol string) string // empty: it has none
}

// A Failure ends a command line: the text for standard error, and ipvsadm's
// exit status.
type Failure struct {
	Text string
	Code int
}

// Error is the text.
func (f *Failure) Error() string { return f.Text }

// Exit statuses.
const (
	Good     = 0
	ListCode = 1   // a listing failed
	Usage    = 2   // the words cannot be carried out
	Refused  = 255 // the words make no command, or the kernel says no
)

// TryHelp is the answer to words that make no command.
var TryHelp = &Failure{"Try `ipvsadm -h' or 'ipvsadm --help' for more information.", Refused}

// Ends tells whether the failure ends a whole restore: a line that is no
// command, or none that could be carried out, does.
func (f *Failure) Ends() bool { return f == TryHelp || f.Code == Usage }

// changes are the commands that change one thing of the table.
var changes = map[Verb]lvs.ChangeKind{
	AddService: lvs.AddService, EditService: lvs.EditService, DeleteService: lvs.DeleteService,
	AddServer: lvs.AddDestination, EditServer: lvs.EditDestination, DeleteServer: lvs.DeleteDestination,
	Flush: lvs.ClearTable, Set: lvs.SetTimeouts,
}

// Change is the command as a change of the table, if it is one.
func (c Command) Change() (lvs.Change, bool) {
	kind, ok := changes[c.Verb]
	return lvs.Change{Kind: kind, Service: c.Service, Destination: c.Destination, Timeouts: c.Timeouts}, ok
}

package ipvsadm

import "github.com/weir-lb/weir/internal/lvs"

// An option's name in messages; also what is remembered about it.
type opt int

// The options, in the order in which they are checked.
const (
	optNone opt = iota
	optNumeric
	optConnection
	optService
	optScheduler
	optPersistent
	optNetmask
	optServer
	optForward
	optWeight
	optUpper
	optLower
	optInterface
	optTimeout
	optDaemon
	optStats
	optRate
	optThresholds
	optPersistentConn
	optNoSort
	optSyncID
	optExact
	optOnePacket
	optEngine
	optFlags
	optGroup
	optPort
	optTTL
	optMaxLength
	optTunInfo
	optTunType
	optTunPort
	optTunNoSum
	optTunSum
	optTunRemote
	optCount
)

var optNames = [optCount]string{"", "numeric", "connection", "service-address", "scheduler", "persistent", "netmask",
	"real-server", "forwarding-method", "weight", "u-threshold", "l-threshold", "mcast-interface", "timeout", "daemon",
	"stats", "rate", "thresholds", "persistent-conn", "nosort", "syncid", "exact", "ops", "pe", "sched-flags",
	"mcast-group", "mcast-port", "mcast-ttl", "sync-maxlen", "tun-info", "tun-type", "tun-port", "tun-nocsum",
	"tun-csum", "tun-remcsum"}

// Whether an option has a value.
type valued int

const (
	no valued = iota
	yes
	maybe
)

// An option is a word of the command line.
type option struct {
	long  string
	short byte
	value valued
	verb  Verb // it is a command
	opt   opt  // it is an option, and counts as this one
	set   func(p *parser, value string, given bool) *Failure
}

// options are all words. It is filled below, because what they do refers
// back to them.
var options []option

func init() {
	options = []option{
		{"add-service", 'A', no, AddService, 0, nil},
		{"edit-service", 'E', no, EditService, 0, nil},
		{"delete-service", 'D', no, DeleteService, 0, nil},
		{"clear", 'C', no, Flush, 0, nil},
		{"list", 'L', no, List, 0, nil},
		{"list", 'l', no, List, 0, nil},
		{"zero", 'Z', no, Zero, 0, nil},
		{"add-server", 'a', no, AddServer, 0, nil},
		{"edit-server", 'e', no, EditServer, 0, nil},
		{"delete-server", 'd', no, DeleteServer, 0, nil},
		{"help", 'h', no, Help, 0, nil},
		{"version", 'v', no, Version, 0, nil},
		{"restore", 'R', no, Restore, 0, nil},
		{"save", 'S', no, Save, 0, nil},
		{"set", 0, no, Set, 0, nil},
		{"start-daemon", 0, yes, StartDaemon, 0, (*parser).startDaemon},
		{"stop-daemon", 0, yes, StopDaemon, 0, (*parser).stopDaemon},

		{"tcp-service", 't', yes, "", optService, (*parser).tcp},
		{"udp-service", 'u', yes, "", optService, (*parser).udp},
		{"sctp-service", 0, yes, "", optService, (*parser).sctp},
		{"fwmark-service", 'f', yes, "", optService, (*parser).mark},
		{"ipv6", '6', no, "", 0, (*parser).six},
		{"scheduler", 's', yes, "", optScheduler, (*parser).scheduler},
		{"persistent", 'p', maybe, "", optPersistent, (*parser).persistent},
		{"netmask", 'M', yes, "", optNetmask, (*parser).netmask},
		{"pe", 0, yes, "", optEngine, (*parser).engine},
		{"sched-flags", 'b', yes, "", optFlags, (*parser).schedFlags},
		{"ops", 'o', no, "", optOnePacket, nil},

		{"real-server", 'r', yes, "", optServer, (*parser).server},
		{"gatewaying", 'g', no, "", optForward, (*parser).gate},
		{"ipip", 'i', no, "", optForward, (*parser).ipip},
		{"masquerading", 'm', no, "", optForward, (*parser).masq},
		{"weight", 'w', yes, "", optWeight, (*parser).weight},
		{"u-threshold", 'x', yes, "", optUpper, (*parser).upper},
		{"l-threshold", 'y', yes, "", optLower, (*parser).lower},
		{"tun-type", 0, yes, "", optTunType, (*parser).tunType},
		{"tun-port", 0, yes, "", optTunPort, (*parser).tunPort},
		{"tun-nocsum", 0, no, "", optTunNoSum, (*parser).tunNoSum},
		{"tun-csum", 0, no, "", optTunSum, (*parser).tunSum},
		{"tun-remcsum", 0, no, "", optTunRemote, (*parser).tunRemote},

		{"numeric", 'n', no, "", optNumeric, nil},
		{"connection", 'c', no, "", optConnection, nil},
		{"timeout", 0, no, "", optTimeout, nil},
		{"daemon", 0, no, "", optDaemon, nil},
		{"stats", 0, no, "", optStats, nil},
		{"rate", 0, no, "", optRate, nil},
		{"thresholds", 0, no, "", optThresholds, nil},
		{"persistent-conn", 0, no, "", optPersistentConn, nil},
		{"tun-info", 0, no, "", optTunInfo, nil},
		{"nosort", 0, no, "", optNoSort, nil},
		{"sort", 0, no, "", 0, nil},
		{"exact", 'X', no, "", optExact, nil},

		{"mcast-interface", 0, yes, "", optInterface, (*parser).mcastInterface},
		{"mcast-group", 0, yes, "", optGroup, (*parser).group},
		{"mcast-port", 0, yes, "", optPort, within("illegal mcast-port specified", 1, 65535, func(d *lvs.SyncDaemon, n int64) { d.Port = uint16(n) })},
		{"mcast-ttl", 0, yes, "", optTTL, within("illegal mcast-ttl specified", 1, 255, func(d *lvs.SyncDaemon, n int64) { d.TTL = uint8(n) })},
		{"syncid", 0, yes, "", optSyncID, within("illegal syncid specified", 0, 255, func(d *lvs.SyncDaemon, n int64) { d.ID = uint8(n) })},
		{"sync-maxlen", 0, yes, "", optMaxLength, within("illegal sync-maxlen specified", 1, 65507, func(d *lvs.SyncDaemon, n int64) { d.MaxLength = uint16(n) })},
	}
}

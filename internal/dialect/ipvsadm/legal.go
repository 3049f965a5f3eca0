package ipvsadm

// How an option stands to a command. The zero value is illegal.
type rule int

const (
	illegal rule = iota
	optional
	required
	exclusive // at most one of those
)

type rules map[opt]rule

// with is rs, and r for each of os.
func (rs rules) with(r rule, os ...opt) rules {
	out := make(rules, len(rs)+len(os))
	for o, old := range rs {
		out[o] = old
	}
	for _, o := range os {
		out[o] = r
	}
	return out
}

var (
	named  = rules{}.with(required, optService)
	server = named.with(required, optServer)

	serviceOptions = named.with(optional, optScheduler, optPersistent, optNetmask, optEngine, optFlags, optOnePacket)
	serverOptions  = server.with(optional, optForward, optWeight, optUpper, optLower,
		optTunType, optTunPort, optTunNoSum, optTunSum, optTunRemote)
)

// legality says which options each command takes.
var legality = map[Verb]rules{
	AddService: serviceOptions, EditService: serviceOptions, DeleteService: named,
	AddServer: serverOptions, EditServer: serverOptions, DeleteServer: server,
	List: rules{}.with(exclusive, optService, optConnection, optTimeout, optDaemon).
		with(optional, optNumeric, optStats, optRate, optThresholds, optPersistentConn, optTunInfo, optNoSort, optExact, optSyncID),
	Save:        rules{}.with(optional, optNumeric),
	Zero:        rules{}.with(optional, optService),
	StartDaemon: rules{}.with(optional, optSyncID, optInterface, optGroup, optPort, optTTL, optMaxLength),
	StopDaemon:  rules{}.with(optional, optSyncID),
}

// legal checks the options against the command.
func (p *parser) legal() *Failure {
	if f := p.obeys(legality[p.c.Verb], optNone+1, optCount-1, string(p.c.Verb)+"' command"); f != nil {
		return f
	}
	own := p.given[optTimeout] || p.given[optDaemon]
	counts := p.given[optStats] || p.given[optRate] || p.given[optThresholds]
	if p.c.Verb == List && ((own || p.given[optConnection]) && counts || own && p.given[optPersistentConn]) {
		return usage("options conflicts in the list command")
	}
	return nil
}

// obeys checks the options from first to last in their order. Whose ends the
// messages.
func (p *parser) obeys(rs rules, first, last opt, whose string) *Failure {
	one := optNone
	for o := first; o <= last; o++ {
		r := rs[o]
		switch {
		case !p.given[o] && r == required:
			return usage("You need to supply the '%s' option for the '%s", optNames[o], whose)
		case !p.given[o]:
		case r == illegal:
			return usage("Illegal '%s' option with the '%s", optNames[o], whose)
		case r == exclusive && one != optNone:
			return usage("The option '%s' conflicts with the '%s' option in the '%s", optNames[o], optNames[one], whose)
		case r == exclusive:
			one = o
		}
	}
	return nil
}

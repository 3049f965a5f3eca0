package client

import (
	"net/netip"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// A Status says how weir is.
type Status struct {
	Version    string            `json:"version"`
	PID        int               `json:"pid"`
	Started    time.Time         `json:"started"`
	Configured bool              `json:"configured" doc:"a configuration has been applied"`
	Config     string            `json:"config" doc:"the file it came from"`
	Applied    time.Time         `json:"applied"`
	Problem    string            `json:"problem,omitempty" doc:"why the table is not as it should be"`
	Refused    string            `json:"refused,omitempty" doc:"why the latest reload was refused"`
	Plane      string            `json:"plane" doc:"the data plane in use"`
	Interfaces map[string]string `json:"interfaces" doc:"where packets are taken, xdp or tc"`
	TableSince time.Time         `json:"table_since" doc:"when the table was first loaded; survives restarts"`
	Services   int               `json:"services"`
	Up         int               `json:"up" doc:"real servers that are up"`
	Down       int               `json:"down" doc:"real servers that are down"`
	Fallbacks  int               `json:"fallbacks" doc:"services whose fallback stands in"`
	Use        lvs.ConnectionUse `json:"connections"`
	Served     []string          `json:"served,omitempty" doc:"where the API is served over TCP"`
	// ServedWrong is told where it is served and where it could not be.
	ServedWrong []string `json:"served_wrong,omitempty" doc:"what is wrong with how it is served"`
	Drift       []Drift  `json:"drift,omitempty" doc:"what others have changed in a table that is not weir's alone"`
}

// A Drift is one way in which somebody else has changed the table.
type Drift struct {
	Service string   `json:"service,omitempty" doc:"in ipvsadm's notation; none: a setting"`
	Kind    string   `json:"kind" enum:"foreign,missing,changed,setting" doc:"foreign: weir does not want it; missing: it is gone; changed: it stands otherwise; setting: a timeout or setting is not as weir set it"`
	Lines   []string `json:"lines" doc:"of ipvsadm, that would put it right; of a foreign service, those that made it"`
}

// A Router is a virtual router as this director sees it.
type Router struct {
	Name      string     `json:"name"`
	Interface string     `json:"interface" doc:"where its adverts travel"`
	ID        uint8      `json:"id"`
	Version   uint8      `json:"version" doc:"of VRRP"`
	Group     string     `json:"group,omitempty" doc:"of routers that move together"`
	State     string     `json:"state" enum:"init,backup,active,fault" doc:"what this director is for it"`
	Since     time.Time  `json:"since"`
	Why       string     `json:"why,omitempty"`
	Priority  uint8      `json:"priority" doc:"that counts now"`
	Active    netip.Addr `json:"active,omitzero" doc:"the director that holds the addresses"`
	Addresses []string   `json:"addresses" doc:"as ip(8) writes them"`
	Sent      uint64     `json:"adverts_sent"`
	Heard     uint64     `json:"adverts_heard"`
	Refused   uint64     `json:"adverts_refused" doc:"packets with its number that were not believed; the log says why"`
	Takeovers uint64     `json:"takeovers" doc:"how often this director became active"`
}

// A ServiceSpec is what a virtual service is, in the words of ipvsadm.
type ServiceSpec struct {
	Service     string     `json:"service" example:"-t 192.0.2.1:80" doc:"in ipvsadm's notation, or tcp:192.0.2.1:80" maxLength:"100"`
	Scheduler   string     `json:"scheduler,omitempty" doc:"wlc if left out" maxLength:"15"`
	Flags       uint8      `json:"flags,omitempty" doc:"scheduler flags, bits 0 to 2" maximum:"7"`
	Persistence uint32     `json:"persistence,omitempty" doc:"seconds" maximum:"2678400"`
	Mask        netip.Addr `json:"persistence_mask,omitzero" doc:"bits of the client's address that count; all if left out"`
	Engine      string     `json:"persistence_engine,omitempty" doc:"what else tells clients apart: sip" maxLength:"16"`
	OnePacket   bool       `json:"one_packet,omitempty"`
}

// A DestinationSpec is what a real server of a service is.
type DestinationSpec struct {
	Destination string `json:"destination" example:"10.0.0.1:80" doc:"address and port" maxLength:"60"`
	Forward     string `json:"forward,omitempty" enum:"gate,masq,ipip,gue,gre," doc:"gate if left out"`
	Weight      int    `json:"weight" minimum:"0" maximum:"2147483647"`
	Upper       uint32 `json:"upper,omitempty" maximum:"2147483647"`
	Lower       uint32 `json:"lower,omitempty" maximum:"2147483647"`
	TunnelPort  uint16 `json:"tunnel_port,omitempty" doc:"UDP port of gue"`
	TunnelSum   string `json:"tunnel_checksum,omitempty" enum:"nocsum,csum,remcsum," doc:"of gue and gre"`
}

// A Service is one installed virtual service.
type Service struct {
	ServiceSpec
	Tag          string        `json:"tag" doc:"another one once anything about the service has changed; for If-Match"`
	ByHand       string        `json:"by_hand,omitempty" enum:"added,changed," doc:"how it differs from the configuration"`
	Fallback     bool          `json:"fallback" doc:"the fallback stands in"`
	Counters     lvs.Counters  `json:"counters"`
	Rates        lvs.Rates     `json:"rates"`
	Destinations []Destination `json:"destinations"`
}

// A Destination is one real server of a service, or one that is left out.
type Destination struct {
	DestinationSpec
	Installed bool         `json:"installed" doc:"it is in the table; a server that is down may be left out of it"`
	Health    string       `json:"health" enum:"up,down,unchecked,fallback"`
	Reason    string       `json:"reason,omitempty" doc:"a bounded word for why it is down"`
	Why       string       `json:"why,omitempty"`
	Since     *time.Time   `json:"since,omitempty" doc:"of the last change of mind"`
	Order     *Order       `json:"order,omitempty" doc:"the weight an operator gave it"`
	Active    uint32       `json:"active"`
	Inactive  uint32       `json:"inactive"`
	Templates uint32       `json:"templates" doc:"clients persistence has bound to it"`
	Counters  lvs.Counters `json:"counters"`
	Rates     lvs.Rates    `json:"rates"`
}

// An Order is a weight an operator gave a destination; it beats configuration
// and health.
type Order struct {
	Weight int        `json:"weight"`
	Since  time.Time  `json:"since"`
	Until  *time.Time `json:"until,omitempty" doc:"when draining should be done"`
}

// An OrderSpec is an order to be given.
type OrderSpec struct {
	Weight int        `json:"weight" minimum:"0" maximum:"2147483647"`
	Until  *time.Time `json:"until,omitempty" doc:"when draining should be done"`
}

// A Table is nothing but services and destinations.
type Table struct {
	Services []TableService `json:"services" maxItems:"100000"`
}

// A TableService is a service with its destinations in list order, the one
// added last first.
type TableService struct {
	ServiceSpec
	Destinations []DestinationSpec `json:"destinations" maxItems:"100000"`
}

// Timeouts are those of ipvsadm --set, in seconds. Zero leaves one as it is.
type Timeouts struct {
	TCP    uint32 `json:"tcp" maximum:"2678400"`
	TCPFin uint32 `json:"tcp_fin" maximum:"2678400"`
	UDP    uint32 `json:"udp" maximum:"2678400"`
}

// A Change is one thing asked of the table by hand. What its kind has no use
// for may be left out.
type Change struct {
	Kind        string           `json:"kind" enum:"add-service,edit-service,delete-service,clear,add-server,edit-server,delete-server,order,revoke,set"`
	Service     *ServiceSpec     `json:"service,omitempty"`
	Destination *DestinationSpec `json:"destination,omitempty"`
	Timeouts    *Timeouts        `json:"timeouts,omitempty"`
	Until       *time.Time       `json:"until,omitempty" doc:"of an order: when draining should be done"`
	Match       string           `json:"match,omitempty" doc:"refuse the change unless the service has this tag; of add-service and clear, the table; of set, the timeouts"`
}

// Changes are made one after the other.
type Changes struct {
	Changes []Change `json:"changes" maxItems:"20000"`
}

// An Outcome is what became of one change.
type Outcome struct {
	Code   string `json:"code,omitempty" doc:"a bounded word for why it was refused; none: it took effect"`
	Detail string `json:"detail,omitempty"`
}

// A Zeroed is the answer to a request to count from zero.
type Zeroed struct {
	Zeroed string `json:"zeroed" doc:"the service, or all"`
}

// A Connection is one entry of the connection table.
type Connection struct {
	Protocol    string `json:"protocol"`
	Client      string `json:"client"`
	Virtual     string `json:"virtual"`
	Destination string `json:"destination"`
	Forward     string `json:"forward"`
	State       string `json:"state"`
	Expires     int    `json:"expires" doc:"seconds until it is forgotten"`
}

// Connections are some connections, and whether there were more.
type Connections struct {
	Connections []Connection `json:"connections"`
	More        bool         `json:"more" doc:"the limit left some out"`
	Next        int          `json:"next,omitempty" doc:"the cursor to ask for those with"`
}

// A ConnectionQuery picks connections. Empty fields match everything.
type ConnectionQuery struct {
	Client      string `query:"client" doc:"address or prefix" example:"203.0.113.0/24"`
	Service     string `query:"service" doc:"virtual address, with or without port" example:"192.0.2.1:80"`
	Destination string `query:"destination" doc:"real server, with or without port"`
	State       string `query:"state" doc:"as shown, any case" example:"ESTABLISHED"`
	Protocol    string `query:"protocol" enum:"tcp,udp,sctp,"`
	Limit       int    `query:"limit" minimum:"1" maximum:"100000" default:"1000"`
	Cursor      int    `query:"cursor" minimum:"0" doc:"where an earlier answer has ended; the table changes in between"`
}

// ExplainQuery is a made-up packet.
type ExplainQuery struct {
	Protocol  string `query:"protocol" enum:"tcp,udp,sctp,esp,ah" default:"tcp"`
	From      string `query:"from" doc:"the client's address and port; esp and ah have no ports" example:"203.0.113.9:40000" required:"true"`
	To        string `query:"to" doc:"the address and port it is sent to" example:"192.0.2.1:80" required:"true"`
	Flags     string `query:"flags" doc:"TCP flags, letters of S A F R P; S if empty" maxLength:"5"`
	TTL       uint8  `query:"ttl" doc:"hop count; 0: 64"`
	Length    int    `query:"length" doc:"bytes of the IP packet; 0: no payload" minimum:"0" maximum:"65535"`
	Interface string `query:"interface" doc:"it arrives on; empty: any that is attached"`
}

// Totals are the data plane's counters.
type Totals struct {
	Verdicts    []lvs.PacketVerdict `json:"verdicts" doc:"the fates of packets"`
	Connections lvs.ConnectionUse   `json:"connections"`
	Services    []ServiceTotal      `json:"services"`
	All         lvs.Counters        `json:"all" doc:"what all services have counted, also those that are gone"`
	AllRates    lvs.Rates           `json:"all_rates"`
}

// A ServiceTotal is what one service has counted.
type ServiceTotal struct {
	Service  string       `json:"service"`
	Counters lvs.Counters `json:"counters"`
}

// A Reloaded is the answer to a reload that was applied.
type Reloaded struct {
	File     string   `json:"file"`
	Warnings []string `json:"warnings"`
	Tag      string   `json:"tag" doc:"of the configuration that is in force now; for If-Match"`
}

// A Config is the configuration in force, without what was changed by hand.
type Config struct {
	File   string `json:"file"`
	Text   string `json:"text" doc:"as weir.yaml, in whatever language the file is"`
	Tag    string `json:"tag" doc:"another one once another text is in force; for If-Match"`
	ByHand []Hand `json:"by_hand" doc:"services that are not as it says"`
}

// A Hand is a service that is not as the configuration has it.
type Hand struct {
	Service string `json:"service"`
	Hand    string `json:"hand" enum:"added,changed,deleted"`
}

// Compare orders hands by their services.
func (h Hand) Compare(o Hand) int { return strings.Compare(h.Service, o.Service) }

// A ConfigText is a configuration to be looked at.
type ConfigText struct {
	File   string `json:"file,omitempty" doc:"its name, for messages" maxLength:"4096"`
	Text   string `json:"text" maxLength:"16777216"`
	Format string `json:"format,omitempty" doc:"its language, if not to be found out" maxLength:"20"`
}

// A Checked is what is to be said about a configuration.
type Checked struct {
	Good     bool            `json:"good"`
	Services int             `json:"services"`
	Problems []ConfigProblem `json:"problems"`
}

// A Version is a configuration that was applied.
type Version struct {
	ID  string    `json:"id"`
	At  time.Time `json:"at"`
	How string    `json:"how" doc:"start, reload, apply or rollback"`
}

// A ConfigProblem is one thing wrong with a configuration, or worth knowing.
type ConfigProblem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Text    string `json:"text"`
	Warning bool   `json:"warning"`
}

// A Diff is what a configuration would change, and what it would leave as it
// was changed by hand.
type Diff struct {
	Steps  []string `json:"steps" doc:"as ipvsadm lines"`
	ByHand []Hand   `json:"by_hand" doc:"services that are not as the configuration in force has them"`
}

// A Downed is the answer to a request to go down.
type Downed struct {
	Kept []string `json:"kept" doc:"services the configuration says to leave standing"`
}

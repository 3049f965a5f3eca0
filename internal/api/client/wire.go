package client

import (
	"net/netip"
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
}

// A Service is one installed virtual service.
type Service struct {
	Service      string        `json:"service" example:"-t 192.0.2.1:80" doc:"in ipvsadm's notation"`
	Scheduler    string        `json:"scheduler"`
	Flags        uint8         `json:"flags,omitempty" doc:"scheduler flags, bits 0 to 2"`
	Persistence  uint32        `json:"persistence,omitempty" doc:"seconds"`
	Mask         netip.Addr    `json:"persistence_mask,omitzero" doc:"bits of the client's address that count"`
	Engine       string        `json:"persistence_engine,omitempty" doc:"what else tells clients apart: sip"`
	OnePacket    bool          `json:"one_packet,omitempty"`
	Fallback     bool          `json:"fallback" doc:"the fallback stands in"`
	Counters     lvs.Counters  `json:"counters"`
	Destinations []Destination `json:"destinations"`
}

// A Destination is one real server of a service, or one that is left out.
type Destination struct {
	Destination string       `json:"destination"`
	Forward     string       `json:"forward" enum:"gate,masq,ipip,gue,gre"`
	TunnelPort  uint16       `json:"tunnelPort,omitempty" doc:"UDP port of gue"`
	TunnelSum   string       `json:"tunnelChecksum,omitempty" enum:"nocsum,csum,remcsum" doc:"of gue and gre"`
	Weight      int          `json:"weight"`
	Upper       uint32       `json:"upper,omitempty"`
	Lower       uint32       `json:"lower,omitempty"`
	Installed   bool         `json:"installed" doc:"it is in the table; a server that is down may be left out of it"`
	Health      string       `json:"health" enum:"up,down,unchecked,fallback"`
	Reason      string       `json:"reason,omitempty" doc:"a bounded word for why it is down"`
	Why         string       `json:"why,omitempty"`
	Since       *time.Time   `json:"since,omitempty" doc:"of the last change of mind"`
	Active      uint32       `json:"active"`
	Inactive    uint32       `json:"inactive"`
	Counters    lvs.Counters `json:"counters"`
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
}

// A ConnectionQuery picks connections. Empty fields match everything.
type ConnectionQuery struct {
	Client      string `query:"client" doc:"address or prefix" example:"203.0.113.0/24"`
	Service     string `query:"service" doc:"virtual address, with or without port" example:"192.0.2.1:80"`
	Destination string `query:"destination" doc:"real server, with or without port"`
	State       string `query:"state" doc:"as shown, any case" example:"ESTABLISHED"`
	Protocol    string `query:"protocol" enum:"tcp,udp,"`
	Limit       int    `query:"limit" minimum:"1" maximum:"100000" default:"1000"`
}

// ExplainQuery is a made-up packet.
type ExplainQuery struct {
	Protocol  string `query:"protocol" enum:"tcp,udp" default:"tcp"`
	From      string `query:"from" doc:"the client's address and port" example:"203.0.113.9:40000" required:"true"`
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
}

// A Downed is the answer to a request to go down.
type Downed struct {
	Kept []string `json:"kept" doc:"services the configuration says to leave standing"`
}

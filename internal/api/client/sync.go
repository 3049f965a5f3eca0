package client

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/weir-lb/weir/internal/lvs"
)

// A SyncDaemon is a daemon that exchanges connections with other directors. Of
// what is left out, but for the number, the data plane has a value of its own.
type SyncDaemon struct {
	Role      string `json:"role" enum:"master,backup" doc:"master tells its connections, backup takes others' in"`
	Interface string `json:"interface" maxLength:"15" example:"eth0"`
	ID        uint8  `json:"sync_id,omitempty" doc:"who belongs together; a backup with 0 takes all"`
	MaxLength uint16 `json:"max_length,omitempty" maximum:"65507" doc:"bytes of a message"`
	Group     string `json:"group,omitempty" maxLength:"60" example:"224.0.0.81" doc:"multicast address"`
	Port      uint16 `json:"port,omitempty"`
	TTL       uint8  `json:"ttl,omitempty"`
}

// SyncDaemonOf is a sync daemon in the words of the API.
func SyncDaemonOf(d lvs.SyncDaemon) SyncDaemon {
	out := SyncDaemon{Role: string(d.Role), Interface: d.Interface, ID: d.ID, MaxLength: d.MaxLength, Port: d.Port, TTL: d.TTL}
	if d.Group.IsValid() {
		out.Group = d.Group.String()
	}
	return out
}

// Noun reads a sync daemon.
func (d SyncDaemon) Noun() (lvs.SyncDaemon, error) {
	out := lvs.SyncDaemon{Role: lvs.SyncRole(d.Role), Interface: d.Interface, ID: d.ID, MaxLength: d.MaxLength, Port: d.Port, TTL: d.TTL}
	if d.Group == "" {
		return out, nil
	}
	var err error
	if out.Group, err = netip.ParseAddr(d.Group); err != nil || !out.Group.IsMulticast() || out.Group.Zone() != "" || out.Group.Is4In6() {
		return out, fmt.Errorf("group %q is no multicast address, as 224.0.0.81 or ff02::81 are: %w", d.Group, lvs.ErrInvalid)
	}
	return out, nil
}

// SyncDaemons asks for the sync daemons that run, the master first.
func (c *Client) SyncDaemons(ctx context.Context) ([]lvs.SyncDaemon, error) {
	all, err := get[[]SyncDaemon](ctx, c, "/v1/sync-daemons", nil)
	var out []lvs.SyncDaemon
	for _, d := range all {
		n, fault := d.Noun()
		if fault != nil {
			return nil, fmt.Errorf("read the answer of weir: %w; is it of another version?", fault)
		}
		out = append(out, n)
	}
	return out, err
}

// StartSync starts a sync daemon.
func (c *Client) StartSync(ctx context.Context, d lvs.SyncDaemon) error {
	_, err := send[[]SyncDaemon](ctx, c, http.MethodPost, "/v1/sync-daemons", nil, SyncDaemonOf(d))
	return err
}

// StopSync ends one.
func (c *Client) StopSync(ctx context.Context, r lvs.SyncRole) error {
	_, err := c.do(ctx, http.MethodDelete, "/v1/sync-daemons/"+string(r), nil, nil)
	return err
}

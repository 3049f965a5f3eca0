package ipvs

import (
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"

	"github.com/weir-lb/weir/internal/lvs"
)

// encodeSync is a sync daemon to be started. What is zero is left out: the
// kernel has its own value.
func encodeSync(e *netlink.AttributeEncoder, d lvs.SyncDaemon) {
	encodeRole(e, d.Role)
	e.String(daemonInterface, d.Interface[:min(len(d.Interface), maxName)])
	e.Uint32(daemonID, uint32(d.ID))
	if d.MaxLength != 0 {
		e.Uint16(daemonMaxLength, d.MaxLength)
	}
	switch {
	case d.Group.Is4():
		e.Bytes(daemonGroup, d.Group.AsSlice())
	case d.Group.IsValid():
		e.Bytes(daemonGroup6, d.Group.AsSlice())
	}
	if d.Port != 0 {
		e.Uint16(daemonPort, d.Port) // in the host's order, unlike those of services
	}
	if d.TTL != 0 {
		e.Uint8(daemonTTL, d.TTL)
	}
}

// encodeRole is the part of a sync daemon that names it.
func encodeRole(e *netlink.AttributeEncoder, r lvs.SyncRole) {
	state := stateMaster
	if r == lvs.SyncBackup {
		state = stateBackup
	}
	e.Uint32(daemonState, state)
}

// decodeSync reads a sync daemon.
func decodeSync(b []byte) (d lvs.SyncDaemon, err error) {
	var state, id uint32
	err = each(b, func(a *netlink.AttributeDecoder) {
		switch a.Type() {
		case daemonState:
			state = a.Uint32()
		case daemonInterface:
			d.Interface = a.String()
		case daemonID:
			id = a.Uint32()
		case daemonMaxLength:
			d.MaxLength = a.Uint16()
		case daemonGroup:
			d.Group, _ = addrOf(a.Bytes(), afInet)
		case daemonGroup6:
			d.Group, _ = netip.AddrFromSlice(a.Bytes())
		case daemonPort:
			d.Port = a.Uint16()
		case daemonTTL:
			d.TTL = a.Uint8()
		}
	})
	if err != nil {
		return d, err
	}
	switch state {
	case stateMaster:
		d.Role = lvs.SyncMaster
	case stateBackup:
		d.Role = lvs.SyncBackup
	default:
		return d, fmt.Errorf("%w: a sync daemon in state %d", errCodec, state)
	}
	if id > 255 || len(d.Interface) > maxName {
		return d, fmt.Errorf("%w: a sync daemon with number %d on an interface of %d letters", errCodec, id, len(d.Interface))
	}
	d.ID = uint8(id)
	return d, nil
}

package ipvs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"

	"github.com/weir-lb/weir/internal/lvs"
)

// A talk is the family's commands in weir's nouns. It keeps nothing.
type talk struct{ kernel }

// tell sends a command about a service and, if d is set, a destination.
func (t talk) tell(ctx context.Context, cmd uint8, s lvs.Service, d *lvs.Destination) error {
	b, err := encode(func(e *netlink.AttributeEncoder) {
		nested(e, attrService, func(n *netlink.AttributeEncoder) {
			if cmd == cmdNewService || cmd == cmdSetService {
				encodeService(n, s)
			} else {
				encodeKey(n, s.Key)
			}
		})
		if d == nil {
			return
		}
		nested(e, attrDest, func(n *netlink.AttributeEncoder) {
			if cmd == cmdDelDest {
				encodeDestKey(n, d.Addr)
			} else {
				encodeDest(n, *d)
			}
		})
	})
	if err != nil {
		return err
	}
	_, err = t.ask(ctx, cmd, false, b)
	return explain(err, cmd, s)
}

// services are all of the table, in the kernel's order. What weir has no words
// for, such as a service of a protocol it does not know, is told in odd.
func (t talk) services(ctx context.Context) (all []service, odd error, err error) {
	msgs, err := t.ask(ctx, cmdGetService, true, nil)
	if err != nil {
		return nil, nil, explain(err, cmdGetService, lvs.Service{})
	}
	seen := make(map[lvs.ServiceKey]bool, len(msgs))
	for _, m := range msgs {
		s, err := serviceIn(m)
		if err != nil {
			odd = errors.Join(odd, err)
			continue
		}
		if !seen[s.Key] { // a table that changes meanwhile may tell one twice
			seen[s.Key] = true
			all = append(all, s)
		}
	}
	return all, odd, nil
}

// service asks for one; there is none if ok is false.
func (t talk) service(ctx context.Context, k lvs.ServiceKey) (s service, ok bool, err error) {
	b, err := encodeNamed(k)
	if err != nil {
		return s, false, err
	}
	msgs, err := t.ask(ctx, cmdGetService, false, b)
	if errno(err) == syscall.ESRCH {
		return s, false, nil
	}
	if err != nil {
		return s, false, explain(err, cmdGetService, lvs.Service{})
	}
	if len(msgs) != 1 {
		return s, false, fmt.Errorf("%w: %d answers about one service", errCodec, len(msgs))
	}
	s, err = serviceIn(msgs[0])
	return s, err == nil, err
}

// destinations are those of a service, in list order: the newest first.
func (t talk) destinations(ctx context.Context, k lvs.ServiceKey) (all []destination, err error) {
	b, err := encodeNamed(k)
	if err != nil {
		return nil, err
	}
	msgs, err := t.ask(ctx, cmdGetDest, true, b)
	if err != nil {
		return nil, explain(err, cmdGetDest, lvs.Service{})
	}
	seen := make(map[netip.AddrPort]bool, len(msgs))
	for _, m := range msgs {
		inner, err := part(m, attrDest)
		if err != nil {
			return nil, err
		}
		d, err := decodeDest(inner, k.AF())
		if err != nil {
			return nil, err
		}
		if !seen[d.Addr] {
			seen[d.Addr] = true
			all = append(all, d)
		}
	}
	return all, nil
}

func encodeNamed(k lvs.ServiceKey) ([]byte, error) {
	return encode(func(e *netlink.AttributeEncoder) {
		nested(e, attrService, func(n *netlink.AttributeEncoder) { encodeKey(n, k) })
	})
}

func serviceIn(msg []byte) (service, error) {
	inner, err := part(msg, attrService)
	if err != nil {
		return service{}, err
	}
	return decodeService(inner)
}

// part is what an attribute of a message holds.
func part(msg []byte, attr uint16) (inner []byte, err error) {
	found := false
	err = each(msg, func(d *netlink.AttributeDecoder) {
		if d.Type() == attr {
			inner, found = d.Bytes(), true
		}
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: a message without attribute %d", errCodec, attr)
	}
	return inner, err
}

// zero makes a service count from zero, or everything if k is nil.
func (t talk) zero(ctx context.Context, k *lvs.ServiceKey) (err error) {
	var b []byte
	if k != nil {
		if b, err = encodeNamed(*k); err != nil {
			return err
		}
	}
	_, err = t.ask(ctx, cmdZero, false, b)
	return explain(err, cmdZero, lvs.Service{})
}

// timeouts are those in force.
func (t talk) timeouts(ctx context.Context) (lvs.Timeouts, error) {
	msgs, err := t.ask(ctx, cmdGetConfig, false, nil)
	if err != nil {
		return lvs.Timeouts{}, explain(err, cmdGetConfig, lvs.Service{})
	}
	if len(msgs) != 1 {
		return lvs.Timeouts{}, fmt.Errorf("%w: %d answers about timeouts", errCodec, len(msgs))
	}
	return decodeTimeouts(msgs[0])
}

func decodeTimeouts(msg []byte) (out lvs.Timeouts, err error) {
	err = each(msg, func(d *netlink.AttributeDecoder) {
		switch d.Type() {
		case attrTimeoutTCP:
			out.TCP = time.Duration(d.Uint32()) * time.Second
		case attrTimeoutTCPFin:
			out.TCPFin = time.Duration(d.Uint32()) * time.Second
		case attrTimeoutUDP:
			out.UDP = time.Duration(d.Uint32()) * time.Second
		}
	})
	return out, err
}

// setTimeouts sets those that are not zero.
func (t talk) setTimeouts(ctx context.Context, want lvs.Timeouts) error {
	b, err := encode(func(e *netlink.AttributeEncoder) { encodeTimeouts(e, want) })
	if err != nil {
		return err
	}
	_, err = t.ask(ctx, cmdSetConfig, false, b)
	return explain(err, cmdSetConfig, lvs.Service{})
}

func encodeTimeouts(e *netlink.AttributeEncoder, t lvs.Timeouts) {
	for _, f := range []struct {
		attr uint16
		d    time.Duration
	}{{attrTimeoutTCP, t.TCP}, {attrTimeoutTCPFin, t.TCPFin}, {attrTimeoutUDP, t.UDP}} {
		if s := uint32(f.d / time.Second); s != 0 {
			e.Uint32(f.attr, s)
		}
	}
}

// info is the version of the kernel's IPVS and how many buckets its connection
// table has.
func (t talk) info(ctx context.Context) (version, size uint32, err error) {
	msgs, err := t.ask(ctx, cmdGetInfo, false, nil)
	if err != nil {
		return 0, 0, explain(err, cmdGetInfo, lvs.Service{})
	}
	if len(msgs) != 1 {
		return 0, 0, fmt.Errorf("%w: %d answers about itself", errCodec, len(msgs))
	}
	err = each(msgs[0], func(d *netlink.AttributeDecoder) {
		switch d.Type() {
		case infoVersion:
			version = d.Uint32()
		case infoSize:
			size = d.Uint32()
		}
	})
	return version, size, err
}

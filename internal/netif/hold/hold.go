// Package hold keeps addresses on interfaces as long as this director holds
// them. What it adds it writes down first, so that what a killed weir has left
// is taken away by the next one; an address that was there before stays.
package hold

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/lvs"
)

// A Holder adds and removes addresses. One goroutine uses it.
type Holder struct {
	file string
	h    *netlink.Handle
	ours []lvs.HeldAddress // added here, as the file has it
}

// record is the file: the addresses that were added.
type record struct {
	Addresses []entry `json:"addresses"`
}

type entry struct {
	Address   string `json:"address"`
	Interface string `json:"interface"`
}

// Open takes up what the file says an earlier weir has added. The network is
// that of the calling thread.
func Open(file string) (*Holder, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("speak to the kernel about addresses: %w", err)
	}
	o := &Holder{file: file, h: h}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	var r record
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("read which addresses weir has added: %w; remove %s if the addresses are right", err, file)
	}
	for _, e := range r.Addresses {
		if p, err := netip.ParsePrefix(e.Address); err == nil {
			o.ours = append(o.ours, lvs.HeldAddress{Prefix: p, Interface: e.Interface})
		}
	}
	return o, nil
}

// Held are the addresses it has added and not removed.
func (o *Holder) Held() []lvs.HeldAddress { return slices.Clone(o.ours) }

// Set makes want the addresses that are held, all of them each time. Those
// that go go first. What could not be done is in the error, the rest is done.
func (o *Holder) Set(want []lvs.HeldAddress) error {
	var errs []error
	for _, a := range o.Held() {
		if !slices.Contains(want, a) {
			errs = append(errs, o.remove(a))
		}
	}
	for _, a := range want {
		if !slices.Contains(o.ours, a) {
			errs = append(errs, o.add(a))
		}
	}
	return errors.Join(errs...)
}

// Close gives nothing away.
func (o *Holder) Close() { o.h.Close() }

func (o *Holder) add(a lvs.HeldAddress) error {
	link, err := o.h.LinkByName(a.Interface)
	if err != nil {
		return fmt.Errorf("add %s: %w", a, err)
	}
	there, err := o.stands(link, a)
	if err != nil || there {
		return err // whoever put it there takes it away
	}
	if err := o.write(append(o.Held(), a)); err != nil {
		return fmt.Errorf("add %s: %w", a, err)
	}
	o.ours = append(o.ours, a)
	if err := o.h.AddrAdd(link, address(a)); err != nil && !errors.Is(err, unix.EEXIST) {
		o.forget(a)
		return errors.Join(fmt.Errorf("add %s: %w", a, err), o.write(o.ours))
	}
	return nil
}

func (o *Holder) stands(link netlink.Link, a lvs.HeldAddress) (bool, error) {
	all, err := o.h.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return false, fmt.Errorf("add %s: %w", a, err)
	}
	return slices.ContainsFunc(all, func(x netlink.Addr) bool { return x.IP.Equal(net.IP(a.Prefix.Addr().AsSlice())) }), nil
}

func (o *Holder) remove(a lvs.HeldAddress) error {
	link, err := o.h.LinkByName(a.Interface)
	var gone netlink.LinkNotFoundError
	switch {
	case errors.As(err, &gone): // and the address with it
	case err != nil:
		return fmt.Errorf("remove %s: %w", a, err)
	default:
		if err := o.h.AddrDel(link, address(a)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("remove %s: %w", a, err)
		}
	}
	o.forget(a)
	return o.write(o.ours)
}

func (o *Holder) forget(a lvs.HeldAddress) {
	o.ours = slices.DeleteFunc(o.ours, func(x lvs.HeldAddress) bool { return x == a })
}

// address is a as the kernel takes it. An IPv6 address is used at once: whether
// another has it was settled by VRRP.
func address(a lvs.HeldAddress) *netlink.Addr {
	x := &netlink.Addr{IPNet: &net.IPNet{IP: a.Prefix.Addr().AsSlice(), Mask: net.CIDRMask(a.Prefix.Bits(), a.Prefix.Addr().BitLen())}}
	if a.Prefix.Addr().Is6() {
		x.Flags = unix.IFA_F_NODAD
	}
	return x
}

// write replaces the file, or removes it when there is nothing to remember.
func (o *Holder) write(all []lvs.HeldAddress) error {
	if len(all) == 0 {
		if err := os.Remove(o.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	var r record
	for _, a := range all {
		r.Addresses = append(r.Addresses, entry{a.Prefix.String(), a.Interface})
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.file), 0o755); err != nil {
		return err
	}
	next := o.file + ".new"
	if err := os.WriteFile(next, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, o.file)
}

package conformance

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-lb/weir/internal/lvs"
)

// A table is what ipvsadm's lines have built so far.
type table map[lvs.ServiceKey]lvs.Service

// A change is what a line does to a data plane: s is put, or gone.
type change struct {
	service lvs.Service
	gone    bool
}

var schedFlags = map[string]uint8{"sh-fallback": 1, "mh-fallback": 1, "sh-port": 2, "mh-port": 2}

// words of ipvsadm's that take a value.
var withValue = []string{"-t", "-u", "-r", "-s", "-w", "-x", "-y", "-p", "-b", "-f", "-M", "--pe", "--tun-type", "--tun-port", "--sctp-service"}

// do carries out one line as ipvsadm would, and tells what became of it.
func (t table) do(words []string) ([]change, error) {
	if words[0] == "-C" {
		var all []change
		for k, s := range t {
			all = append(all, change{s, true})
			delete(t, k)
		}
		return all, nil
	}
	o := make(map[string]string)
	for i := 1; i < len(words); i++ {
		if slices.Contains(withValue, words[i]) && i+1 < len(words) {
			o[words[i]] = words[i+1]
			i++
		} else {
			o[words[i]] = "yes"
		}
	}
	key, err := keyOf(o)
	if err != nil {
		return nil, err
	}
	s, there := t[key]
	if there == (words[0] == "-A") {
		return nil, fmt.Errorf("%s: service %s is there: %v", words[0], key, there)
	}
	if words[0] == "-D" {
		delete(t, key)
		return []change{{s, true}}, nil
	}
	s = s.Clone()
	s.Key = key
	if err := edit(&s, words[0], o); err != nil {
		return nil, err
	}
	t[key] = s
	return []change{{s, false}}, nil
}

func keyOf(o map[string]string) (k lvs.ServiceKey, err error) {
	k.Protocol = lvs.TCP
	text, ok := o["-t"]
	if !ok {
		k.Protocol = lvs.UDP
		text, ok = o["-u"]
	}
	if sctp, said := o["--sctp-service"]; said {
		k.Protocol, text, ok = lvs.SCTP, sctp, true
	}
	if text, marked := o["-f"]; marked {
		n, err := strconv.ParseUint(text, 10, 32)
		k = lvs.ServiceKey{Mark: uint32(n), Family: lvs.IPv4}
		if o["-6"] != "" {
			k.Family = lvs.IPv6
		}
		return k, err
	}
	if !ok {
		return k, fmt.Errorf("weir has no services but -t, -u and -f so far")
	}
	k.Addr, err = netip.ParseAddrPort(text)
	return k, err
}

func edit(s *lvs.Service, verb string, o map[string]string) error {
	switch verb {
	case "-A", "-E":
		s.Scheduler = lvs.WLC
		if name, ok := o["-s"]; ok {
			s.Scheduler = lvs.Scheduler(name)
		}
		s.SchedFlags = 0
		for word := range strings.SplitSeq(o["-b"], ",") {
			s.SchedFlags |= schedFlags[word]
		}
		s.OnePacket = o["-o"] != ""
		return persistence(s, o)
	case "-a", "-e", "-d":
	default:
		return fmt.Errorf("%s is not known here", verb)
	}
	addr, err := netip.ParseAddrPort(o["-r"])
	if err != nil {
		return err
	}
	i := slices.IndexFunc(s.Destinations, func(d lvs.Destination) bool { return d.Addr == addr })
	if o["-m"] == "" && verb != "-d" && s.Key.Mark == 0 {
		// Only masq can change the port; ipvsadm writes the service's own.
		addr = netip.AddrPortFrom(addr.Addr(), s.Key.Addr.Port())
		i = slices.IndexFunc(s.Destinations, func(d lvs.Destination) bool { return d.Addr == addr })
	}
	if (i < 0) != (verb == "-a") {
		return fmt.Errorf("%s: destination %s is there: %v", verb, addr, i >= 0)
	}
	switch verb {
	case "-d":
		s.Destinations = slices.Delete(s.Destinations, i, i+1)
		return nil
	case "-a":
		// The kernel puts a new one at the head of its list.
		s.Destinations = slices.Insert(s.Destinations, 0, lvs.Destination{Addr: addr})
		i = 0
	}
	d, err := destination(o)
	d.Addr = addr
	s.Destinations[i] = d
	return err
}

func persistence(s *lvs.Service, o map[string]string) error {
	s.Persistence = lvs.Persistence{}
	text, ok := o["-p"]
	if !ok {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	s.Persistence = lvs.Persistence{Timeout: uint32(n), Mask: lvs.MaskOf(s.Key.AF(), 128), Engine: o["--pe"]}
	if m, ok := o["-M"]; ok && err == nil {
		if bits, e := strconv.Atoi(m); e == nil {
			s.Persistence.Mask = lvs.MaskOf(s.Key.AF(), bits)
		} else {
			s.Persistence.Mask, err = netip.ParseAddr(m)
		}
	}
	return err
}

func destination(o map[string]string) (d lvs.Destination, err error) {
	d.Forward, d.Weight = lvs.DirectRoute, 1
	if o["-m"] != "" {
		d.Forward = lvs.Masquerade
	}
	if o["-i"] != "" {
		d.Forward, d.Encap = lvs.Tunnel, encap(o)
	}
	for word, set := range map[string]func(int){
		"-w":         func(n int) { d.Weight = n },
		"-x":         func(n int) { d.Upper = uint32(n) },
		"-y":         func(n int) { d.Lower = uint32(n) },
		"--tun-port": func(n int) { d.Encap.Port = uint16(n) },
	} {
		text, ok := o[word]
		if !ok {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return d, fmt.Errorf("%s %s: %w", word, text, err)
		}
		set(n)
	}
	return d, nil
}

func encap(o map[string]string) (e lvs.Encap) {
	e.Type = map[string]lvs.TunnelType{"gue": lvs.GUE, "gre": lvs.GRE}[o["--tun-type"]]
	if o["--tun-csum"] != "" {
		e.Checksum = lvs.Checksum
	}
	if o["--tun-remcsum"] != "" {
		e.Checksum = lvs.RemoteChecksum
	}
	return e
}

package local

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/realserver"
)

// families of nftables whose chains see packets for this host.
var families = map[uint8]string{unix.NFPROTO_INET: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6", unix.NFPROTO_NETDEV: "netdev"}

// Chains are those of nftables (and of iptables that speaks it) that stand in
// the way of packets for this host and might drop them. A kernel without
// nftables has none.
func Chains() ([]realserver.Chain, error) {
	var list []realserver.Chain
	for family, name := range families {
		messages, err := dump(unix.NFT_MSG_GETCHAIN, family)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EINVAL) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list chains of the firewall: %w", err)
		}
		for _, m := range messages {
			c, arriving := chainOf(m, name)
			if !arriving || m[0] != family {
				continue
			}
			if c.Rejects, err = rejects(family, c); err != nil {
				return nil, fmt.Errorf("list rules of the firewall: %w", err)
			}
			list = append(list, c)
		}
	}
	return list, nil
}

// dump asks nf_tables for all of something.
func dump(what int, family uint8) ([][]byte, error) {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|what, unix.NLM_F_DUMP)
	req.AddRawData([]byte{family, unix.NFNETLINK_V0, 0, 0})
	return req.Execute(unix.NETLINK_NETFILTER, 0)
}

// chainOf reads a chain; arriving: it is hooked where packets from outside for
// this host pass (ingress, prerouting, input).
func chainOf(m []byte, family string) (c realserver.Chain, arriving bool) {
	const header = 4
	if len(m) < header {
		return c, false
	}
	c.Family = family
	for kind, value := range attributes(m[header:]) {
		switch kind {
		case unix.NFTA_CHAIN_TABLE:
			c.Table = text(value)
		case unix.NFTA_CHAIN_NAME:
			c.Name = text(value)
		case unix.NFTA_CHAIN_POLICY:
			c.Drops = len(value) >= 4 && value[3] == nfDrop
		case unix.NFTA_CHAIN_HOOK:
			for k, v := range attributes(value) {
				if k == unix.NFTA_HOOK_HOOKNUM && len(v) >= 4 {
					// The only hook of netdev before input's number is ingress, 0.
					arriving = v[3] == unix.NF_INET_PRE_ROUTING || v[3] == unix.NF_INET_LOCAL_IN
				}
			}
		}
	}
	return c, arriving
}

const nfDrop = 0

// rejects counts the rules of a chain that drop or reject by themselves; those
// of chains they jump to are not followed.
func rejects(family uint8, c realserver.Chain) (n int, err error) {
	messages, err := dump(unix.NFT_MSG_GETRULE, family)
	if err != nil {
		return 0, err
	}
	for _, m := range messages {
		var table, chain string
		var expressions []byte
		if len(m) < 4 {
			continue
		}
		for kind, value := range attributes(m[4:]) {
			switch kind {
			case unix.NFTA_RULE_TABLE:
				table = text(value)
			case unix.NFTA_RULE_CHAIN:
				chain = text(value)
			case unix.NFTA_RULE_EXPRESSIONS:
				expressions = value
			}
		}
		if table == c.Table && chain == c.Name && refuses(expressions) {
			n++
		}
	}
	return n, nil
}

// refuses finds the expression "reject", an xtables target of that name, or an
// immediate verdict to drop.
func refuses(expressions []byte) bool {
	for _, e := range attributes(expressions) {
		var name string
		var data []byte
		for kind, value := range attributes(e) {
			switch kind {
			case unix.NFTA_EXPR_NAME:
				name = text(value)
			case unix.NFTA_EXPR_DATA:
				data = value
			}
		}
		switch name {
		case "reject":
			return true
		case "target":
			for kind, value := range attributes(data) {
				if kind == unix.NFTA_TARGET_NAME && (text(value) == "REJECT" || text(value) == "DROP") {
					return true
				}
			}
		case "immediate":
			if code, ok := verdict(data); ok && code == nfDrop {
				return true
			}
		}
	}
	return false
}

func verdict(immediate []byte) (code uint32, ok bool) {
	for kind, value := range attributes(immediate) {
		if kind != unix.NFTA_IMMEDIATE_DATA {
			continue
		}
		for k, v := range attributes(value) {
			if k != unix.NFTA_DATA_VERDICT {
				continue
			}
			for k, v := range attributes(v) {
				if k == unix.NFTA_VERDICT_CODE && len(v) >= 4 {
					return uint32(v[0])<<24 | uint32(v[1])<<16 | uint32(v[2])<<8 | uint32(v[3]), true
				}
			}
		}
	}
	return 0, false
}

package local

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/lab/labtest"
	"github.com/weir-lb/weir/internal/realserver"
)

// A batch is a change of nf_tables: it is done as a whole.
type batch struct {
	t     *testing.T
	bytes []byte
	seq   uint32
}

func (b *batch) add(kind, flags int, family uint8, group uint16, attrs ...*nl.RtAttr) {
	body := []byte{family, unix.NFNETLINK_V0, 0, 0}
	binary.BigEndian.PutUint16(body[2:], group)
	for _, a := range attrs {
		body = append(body, a.Serialize()...)
	}
	b.seq++
	head := make([]byte, unix.SizeofNlMsghdr)
	binary.NativeEndian.PutUint32(head, uint32(len(head)+len(body)))
	binary.NativeEndian.PutUint16(head[4:], uint16(kind))
	binary.NativeEndian.PutUint16(head[6:], uint16(unix.NLM_F_REQUEST|flags))
	binary.NativeEndian.PutUint32(head[8:], b.seq)
	b.bytes = append(b.bytes, append(head, body...)...)
	for len(b.bytes)%4 != 0 {
		b.bytes = append(b.bytes, 0)
	}
}

func (b *batch) nft(what, flags int, family uint8, attrs ...*nl.RtAttr) {
	b.add(unix.NFNL_SUBSYS_NFTABLES<<8|what, flags, family, 0, attrs...)
}

// send returns the first refusal.
func (b *batch) send() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, b.bytes, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return err
	}
	if n >= 20 && binary.NativeEndian.Uint16(buf[4:]) == unix.NLMSG_ERROR {
		if code := int32(binary.NativeEndian.Uint32(buf[16:])); code != 0 {
			return unix.Errno(-code)
		}
	}
	return nil
}

func name(kind int, s string) *nl.RtAttr { return nl.NewRtAttr(kind, nl.ZeroTerminated(s)) }
func be32(kind int, n uint32) *nl.RtAttr {
	return nl.NewRtAttr(kind, binary.BigEndian.AppendUint32(nil, n))
}

func nest(kind int, inside ...*nl.RtAttr) *nl.RtAttr {
	a := nl.NewRtAttr(kind|unix.NLA_F_NESTED, nil)
	for _, i := range inside {
		a.AddChild(i)
	}
	return a
}

// TestChains makes a table with chains as a firewall has them, without nft(8).
func TestChains(t *testing.T) {
	l := labtest.New(t)
	h := labtest.Host(t, l, "h")
	const inet = unix.NFPROTO_INET
	err := h.Do(func() error {
		b := &batch{t: t}
		b.add(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
		b.nft(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE|unix.NLM_F_ACK, inet, name(unix.NFTA_TABLE_NAME, "filter"))
		chain := func(called string, hook, policy uint32) {
			b.nft(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, inet, name(unix.NFTA_CHAIN_TABLE, "filter"), name(unix.NFTA_CHAIN_NAME, called), name(unix.NFTA_CHAIN_TYPE, "filter"),
				nest(unix.NFTA_CHAIN_HOOK, be32(unix.NFTA_HOOK_HOOKNUM, hook), be32(unix.NFTA_HOOK_PRIORITY, 0)), be32(unix.NFTA_CHAIN_POLICY, policy))
		}
		chain("input", unix.NF_INET_LOCAL_IN, 1)
		chain("strict", unix.NF_INET_PRE_ROUTING, 0)
		chain("forward", unix.NF_INET_FORWARD, 0)
		rule := func(verdict uint32) {
			b.nft(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, inet, name(unix.NFTA_RULE_TABLE, "filter"), name(unix.NFTA_RULE_CHAIN, "input"),
				nest(unix.NFTA_RULE_EXPRESSIONS, nest(unix.NFTA_LIST_ELEM, name(unix.NFTA_EXPR_NAME, "immediate"),
					nest(unix.NFTA_EXPR_DATA, be32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT),
						nest(unix.NFTA_IMMEDIATE_DATA, nest(unix.NFTA_DATA_VERDICT, be32(unix.NFTA_VERDICT_CODE, verdict)))))))
		}
		rule(0) // drop
		rule(1) // accept
		b.add(unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
		return b.send()
	})
	if err == unix.EOPNOTSUPP || err == unix.EPROTONOSUPPORT || err == unix.EINVAL {
		t.Skipf("this kernel has no nf_tables, unlike the guest's: %v", err)
	}
	labtest.Must(t, err)
	var chains []realserver.Chain
	labtest.Must(t, h.Do(func() (err error) {
		chains, err = Chains()
		return err
	}))
	slices.SortFunc(chains, func(a, b realserver.Chain) int { return len(a.Name) - len(b.Name) })
	want := []realserver.Chain{{Family: "inet", Table: "filter", Name: "input", Rejects: 1}, {Family: "inet", Table: "filter", Name: "strict", Drops: true}}
	if !slices.Equal(chains, want) {
		t.Errorf("got %+v, want %+v", chains, want)
	}
}

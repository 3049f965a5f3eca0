package conformance

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Packet is one to be sent, as a scenario's words describe it.
type Packet struct {
	At       string // wire it arrives on: client, rs1 …
	Src, Dst netip.AddrPort
	Protocol uint8
	Flags    uint8  // TCP's
	Seq, Ack int    // … numbers; 0: some
	Data     int    // bytes after the transport header
	Text     string // … or this; Data is its length
	TTL      uint8
	TOS      uint8
	ID       uint32
	DF       bool
	NoSum    bool // UDP without a checksum
	BadSum   bool // a wrong one
	BadHead  bool // IPv4: a wrong checksum of the header
	Options  bool // IPv4 options, or an IPv6 destination options header
	Signed   bool // an authentication header stands before the transport
	Fragment bool // only bytes From … From+Data of what follows the IP header
	From     int
	More     bool
	Type     uint8 // ICMP
	Code     uint8
	MTU      int
	Quote    *Packet
	Quoted   int     // bytes of the quoted packet; 0: all
	Cut      int     // bytes missing at the end of the frame
	Chunks   []uint8 // of SCTP, by their types; data stands in the last
	Tunnel   string  // ipip, gue, gre or gresum, around …
	Carried  *Packet
}

// The protocols packets are made of.
const (
	protoICMP   = 1
	protoIPIP   = 4
	protoTCP    = 6
	protoUDP    = 17
	protoIPv6   = 41
	protoGRE    = 47
	protoESP    = 50
	protoAH     = 51
	protoSCTP   = 132
	protoICMPv6 = 58
)

// chunkNames are SCTP's chunks by their types.
var chunkNames = []string{"DATA", "INIT", "INIT-ACK", "SACK", "HEARTBEAT", "HEARTBEAT-ACK", "ABORT", "SHUTDOWN",
	"SHUTDOWN-ACK", "ERROR", "COOKIE-ECHO", "COOKIE-ACK", "ECNE", "CWR", "SHUTDOWN-COMPLETE"}

var tcpFlags = []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"}

// parsePacket reads "client:1025 > vip:80 SYN ttl=3 data=100" and
// "rs1 > client icmp 3/4 mtu=1400 quoting client:1025 > rs1:80 ACK". "at rs1:"
// before it says on which wire it arrives, if not its source's.
func (p Place) parsePacket(text string) (Packet, error) {
	words := strings.Fields(p.spelled(text))
	at := ""
	if len(words) > 2 && words[0] == "at" {
		at = strings.TrimSuffix(words[1], ":")
		words = words[2:]
	}
	pkt, err := p.parseWords(words)
	if err != nil {
		return Packet{}, err
	}
	if at == "" {
		at, _, _ = strings.Cut(words[0], ":")
	}
	if pkt.At, err = wireOf(at); err != nil {
		return Packet{}, err
	}
	return pkt, nil
}

func wireOf(name string) (string, error) {
	if _, ok := numbered(name, "client", mostClients); ok {
		return "client", nil
	}
	if _, ok := numbered(name, "rs", reals); ok {
		return name, nil
	}
	return "", fmt.Errorf("packets of %s arrive on no wire of their own; say `at client:` or `at rs1:` before them", name)
}

func (p Place) parseWords(words []string) (pkt Packet, err error) {
	if len(words) < 3 || words[1] != ">" {
		return pkt, errors.New("a packet is written: client:1025 > vip:80 SYN")
	}
	if pkt.Src, err = p.addrPort(words[0]); err != nil {
		return pkt, err
	}
	if pkt.Dst, err = p.addrPort(words[2]); err != nil {
		return pkt, err
	}
	pkt.TTL, pkt.ID, pkt.Protocol = 64, 1, protoTCP
	words = words[3:]
	for i := 0; i < len(words); i++ {
		switch w := words[i]; w {
		case "udp":
			pkt.Protocol = protoUDP
		case "sctp":
			pkt.Protocol = protoSCTP
		case "esp":
			pkt.Protocol = protoESP
		case "icmp":
			if i++; i >= len(words) {
				return pkt, errors.New("icmp wants type/code")
			}
			if _, err := fmt.Sscanf(words[i], "%d/%d", &pkt.Type, &pkt.Code); err != nil {
				return pkt, fmt.Errorf("%q is no ICMP type/code", words[i])
			}
			pkt.Protocol = protoICMP
			if pkt.Src.Addr().Is6() {
				pkt.Protocol = protoICMPv6
			}
		case "ipip", "gue", "gre", "gresum":
			pkt.Tunnel = w
		case "carrying":
			c, err := p.parseWords(words[i+1:])
			pkt.Carried = &c
			return pkt, err
		case "quoting":
			q, err := p.parseWords(words[i+1:])
			pkt.Quote = &q
			return pkt, err
		default:
			if err := pkt.word(w); err != nil {
				return pkt, err
			}
		}
	}
	return pkt, nil
}

// word reads one word that stands for itself.
func (pkt *Packet) word(w string) error {
	for bit, name := range tcpFlags {
		if w == name {
			pkt.Flags |= 1 << bit
			return nil
		}
	}
	if n := slices.Index(chunkNames, w); n >= 0 && pkt.Protocol == protoSCTP {
		pkt.Chunks = append(pkt.Chunks, uint8(n))
		return nil
	}
	switch w {
	case "NULL": // a TCP segment without flags
		return nil
	case "df":
		pkt.DF = true
		return nil
	case "nosum":
		pkt.NoSum = true
		return nil
	case "badsum":
		pkt.BadSum = true
		return nil
	case "badhead":
		pkt.BadHead = true
		return nil
	case "options":
		pkt.Options = true
		return nil
	case "ah":
		pkt.Signed = true
		return nil
	case "more":
		pkt.Fragment, pkt.More = true, true
		return nil
	}
	key, value, ok := strings.Cut(w, "=")
	if ok && (key == "call" || key == "text") {
		pkt.Text = value
		if key == "call" {
			pkt.Text = "INVITE sip:a@b SIP/2.0\r\nVia: x\r\n" + value + "\r\nTo: y\r\n\r\n"
		}
		// A word holds no blank and no end of line.
		pkt.Text = strings.NewReplacer("_", " ", "\\r", "\r", "\\n", "\n").Replace(pkt.Text)
		pkt.Data = len(pkt.Text)
		return nil
	}
	n, err := strconv.Atoi(value)
	if !ok || err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("a packet knows no word %q", w)
	}
	switch key {
	case "data":
		pkt.Data = n
	case "ttl":
		pkt.TTL = uint8(n)
	case "seq":
		pkt.Seq = n
	case "ack":
		pkt.Ack = n
	case "tos":
		pkt.TOS = uint8(n)
	case "id":
		pkt.ID = uint32(n)
	case "from":
		pkt.Fragment, pkt.From = true, n
	case "mtu":
		pkt.MTU = n
	case "quoted":
		pkt.Quoted = n
	case "cut":
		pkt.Cut = n
	default:
		return fmt.Errorf("a packet knows no word %q", w)
	}
	return nil
}

var named = regexp.MustCompile(`\{\w+,?\}`)

// spelled puts addresses in the place of {client}; of {client,} in FTP's way.
func (p Place) spelled(text string) string {
	return named.ReplaceAllStringFunc(text, func(s string) string {
		name, ftp := strings.CutSuffix(strings.Trim(s, "{}"), ",")
		a, err := p.Addr(name)
		if err != nil {
			return s
		}
		if ftp {
			return strings.ReplaceAll(a.String(), ".", ",")
		}
		return a.String()
	})
}

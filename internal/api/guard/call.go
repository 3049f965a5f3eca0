package guard

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-lb/weir/internal/api/audit"
	"github.com/weir-lb/weir/internal/api/token"
	"github.com/weir-lb/weir/internal/lvs"
)

// How somebody came in.
const (
	LoginNone        = "none"
	LoginSocket      = "socket"
	LoginToken       = "token"
	LoginCertificate = "certificate"
)

// A Call is one request: who makes it, and what became of it.
type Call struct {
	Login string
	Who   string
	Role  lvs.Role
	From  string
	// Operation is its name, and Changes whether it is to be written down
	// even if it is not refused.
	Operation string
	Changes   bool

	entry token.Entry         // of a token
	chain []*x509.Certificate // of a client
	notes []note
	why   string // of a refusal
	times int
}

// A note is one of the changes a request asked for.
type note struct{ what, why string }

// Note says what the request asked for, and why it was refused; nil: it was
// done.
func (c *Call) Note(what string, refused error) {
	n := note{what: what}
	if refused != nil {
		n.why = refused.Error()
	}
	c.notes = append(c.notes, n)
}

type callKey struct{}

// With is ctx for a request that c is about.
func With(ctx context.Context, c *Call) context.Context { return context.WithValue(ctx, callKey{}, c) }

// Of is the call ctx belongs to; one that may do nothing if there is none.
func Of(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return &Call{Login: LoginNone}
}

// Bounds of what is written down of what strangers send.
const (
	mostPath = 256
	mostText = 512
)

// records are what is to be written down: each change, or else the refusal.
func (c *Call) records(status int, r *http.Request) []audit.Record {
	refused := status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests
	if !refused && !c.Changes {
		return nil
	}
	base := audit.Record{Time: time.Now(), Login: c.Login, Who: bounded(c.Who, mostPath), From: c.From, Operation: c.Operation,
		Method: bounded(r.Method, 16), Path: bounded(r.URL.Path, mostPath), Status: status, Why: bounded(c.why, mostText), Times: c.times}
	if c.Role != lvs.RoleNone {
		base.Role = c.Role.String()
	}
	base.Outcome = outcome(status, c.why)
	if len(c.notes) == 0 {
		return []audit.Record{base}
	}
	out := make([]audit.Record, len(c.notes))
	for i, n := range c.notes {
		out[i] = base
		out[i].What, out[i].Why, out[i].Outcome = bounded(n.what, mostText), bounded(n.why, mostText), outcome(status, n.why)
	}
	return out
}

func outcome(status int, why string) string {
	switch {
	case status == 0 || status == http.StatusInternalServerError:
		return "failed"
	case status >= 300 || why != "":
		return "refused"
	}
	return "done"
}

func bounded(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

type peerKey struct{}

// Peer is the ConnContext of a server on a unix socket: it remembers who
// connected.
func Peer(ctx context.Context, conn net.Conn) context.Context {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *unix.Ucred
	if raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, cred)
}

// peer names who is at the other end of the unix socket.
func peer(ctx context.Context) (who, from string) {
	if c, ok := ctx.Value(peerKey{}).(*unix.Ucred); ok {
		return fmt.Sprintf("uid %d", c.Uid), fmt.Sprintf("process %d", c.Pid)
	}
	return "unknown", "socket"
}

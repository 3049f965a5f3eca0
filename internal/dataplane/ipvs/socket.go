package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
)

// A kernel answers commands of the family.
type kernel interface {
	// ask sends one command and returns what is answered, without headers.
	// An errno of the kernel's comes back as syscall.Errno in the chain.
	ask(ctx context.Context, cmd uint8, dump bool, attrs []byte) ([][]byte, error)
	close() error
}

// patience is how long the kernel may take for one command: it may have to
// load a module.
const patience = 30 * time.Second

// A sync daemon that is stopped before its thread has begun makes the kernel
// answer with EINTR, and netlink leaves that answer out (netlink_rcv_skb).
const stopPatience = 3 * time.Second

func patienceFor(cmd uint8) time.Duration {
	if cmd == cmdDelDaemon {
		return stopPatience
	}
	return patience
}

// A socket is the kernel of the network namespace it was opened in.
type socket struct {
	space *space

	mu     sync.Mutex
	conn   *genetlink.Conn // nil: to be opened
	family uint16
}

// dial opens a socket and asks for the family.
func dial(in *space) (*socket, error) {
	s := &socket{space: in}
	return s, s.open()
}

func (s *socket) open() error {
	var c *genetlink.Conn
	if err := s.space.in(func() (err error) {
		c, err = genetlink.Dial(nil)
		return err
	}); err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	f, err := c.GetFamily(familyName)
	if err != nil {
		_ = c.Close() // nothing was done with it
		if errors.Is(err, fs.ErrNotExist) {
			return ErrNoIPVS
		}
		return fmt.Errorf("ask the kernel for IPVS: %w", err)
	}
	s.conn, s.family = c, f.ID
	return nil
}

func (s *socket) ask(ctx context.Context, cmd uint8, dump bool, attrs []byte) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		if err := s.open(); err != nil {
			return nil, err
		}
	}
	if err := s.conn.SetDeadline(time.Now().Add(patienceFor(cmd))); err != nil {
		return nil, fmt.Errorf("the netlink socket: %w", err)
	}
	msgs, err := s.conn.Execute(genetlink.Message{Header: genetlink.Header{Command: cmd, Version: version}, Data: attrs},
		s.family, flagsOf(cmd, dump))
	if err != nil {
		if outOfStep(err) {
			_ = s.conn.Close() // the next command gets a new one
			s.conn = nil
		}
		return nil, err
	}
	out := make([][]byte, 0, len(msgs))
	for _, m := range msgs {
		out = append(out, m.Data)
	}
	return out, nil
}

// flagsOf are how a command is to be answered: with an acknowledgement, unless
// the answer says it.
func flagsOf(cmd uint8, dump bool) netlink.HeaderFlags {
	switch {
	case dump:
		return netlink.Request | netlink.Dump
	case cmd == cmdGetService, cmd == cmdGetConfig, cmd == cmdGetInfo:
		return netlink.Request
	}
	return netlink.Request | netlink.Acknowledge
}

// outOfStep tells whether answers to this command may still come, which the
// next one would take for its own: it was not the kernel that refused.
func outOfStep(err error) bool {
	e := errno(err)
	return e == 0 || e == syscall.ENOBUFS || e == syscall.EAGAIN
}

func (s *socket) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}

// errno is the kernel's own word in err; zero if it said none.
func errno(err error) syscall.Errno {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return 0
}

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

// A socket is the kernel of the network namespace it was opened in.
type socket struct {
	mu     sync.Mutex
	conn   *genetlink.Conn
	family uint16
}

// dial opens a socket and asks for the family.
func dial() (*socket, error) {
	c, err := genetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	f, err := c.GetFamily(familyName)
	if err != nil {
		_ = c.Close() // nothing was done with it
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNoIPVS
		}
		return nil, fmt.Errorf("ask the kernel for IPVS: %w", err)
	}
	return &socket{conn: c, family: f.ID}, nil
}

func (s *socket) ask(ctx context.Context, cmd uint8, dump bool, attrs []byte) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, fmt.Errorf("the netlink socket: %w", err)
	}
	msgs, err := s.conn.Execute(genetlink.Message{Header: genetlink.Header{Command: cmd, Version: version}, Data: attrs},
		s.family, flagsOf(cmd, dump))
	if err != nil {
		return nil, fmt.Errorf("%w", err)
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

func (s *socket) close() error { return s.conn.Close() }

// errno is the kernel's own word in err; zero if it said none.
func errno(err error) syscall.Errno {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return 0
}

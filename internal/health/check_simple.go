package health

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// mostSimple is how much of a simpletcp answer is read. The line that is
// looked for belongs at the beginning of a conversation.
const mostSimple = 64 << 10

// simple sends a text and looks for a line in the answer.
type simple struct {
	request string
	receive *regexp.Regexp
	timeout time.Duration
}

func newSimple(c lvs.Check) (*simple, error) {
	receive, err := regexp.Compile(c.Receive)
	if err != nil {
		return nil, fmt.Errorf("what to receive: %w", err)
	}
	return &simple{strings.ReplaceAll(c.Request, `\n`, "\n"), receive, c.Timeout}, nil
}

func (s *simple) String() string { return "simpletcp" }

// Check hangs up its own half of the connection after the request, as
// ldirectord does, so that a server that reads to the end answers.
func (s *simple) Check(ctx context.Context, target netip.AddrPort) error {
	return within(ctx, s.timeout, func(ctx context.Context) error {
		conn, err := dial(ctx, target)
		if err != nil {
			return err
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
		if _, err := io.WriteString(conn, s.request); err != nil {
			return err
		}
		if half, ok := conn.(*net.TCPConn); ok {
			if err := half.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) {
				return err
			}
		}
		return s.read(conn)
	})
}

// read is content with the first line that matches. Every line is looked at
// as it comes, because a server may keep the connection open after it.
func (s *simple) read(r io.Reader) error {
	in := bufio.NewReaderSize(io.LimitReader(r, mostSimple), mostSimple)
	var first []byte
	for {
		line, err := in.ReadBytes('\n')
		text := bytes.TrimSuffix(line, []byte("\n"))
		if len(line) > 0 && s.receive.Match(text) {
			return nil
		}
		if first == nil && len(text) > 0 {
			first = text
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if first == nil {
		return io.ErrUnexpectedEOF
	}
	return failf(lvs.ReasonMismatch, "no line of the answer matches %q; it begins with %q", s.receive, bytes.TrimSuffix(first, []byte("\r")))
}

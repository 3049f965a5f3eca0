package demo

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// patience is how long a request may take before it counts as failed: longer
// than it takes TCP to send a lost packet again.
const patience = 3 * time.Second

// A talk is one connection of the client to a virtual service.
type talk struct {
	net.Conn
	v      service
	r      *bufio.Reader
	cancel func() bool
}

// talk connects from the client's network. When ctx ends, whatever waits on
// the connection ends.
func (s *stage) talk(ctx context.Context, v service) (*talk, error) {
	network := "tcp"
	if v.protocol == lvs.UDP {
		network = "udp"
	}
	limited, end := context.WithTimeout(ctx, patience)
	defer end()
	c, err := s.cluster.Client.Dial(limited, network, v.virtual().String())
	if err != nil {
		return nil, err
	}
	cancel := context.AfterFunc(ctx, func() { c.Close() })
	return &talk{c, v, bufio.NewReader(c), cancel}, nil
}

func (t *talk) Close() error {
	t.cancel()
	return t.Conn.Close()
}

// ask sends one request and returns the name of who answers. After the last
// one the server closes the connection.
func (t *talk) ask(last bool) (string, error) {
	if err := t.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if t.v.protocol == lvs.UDP {
		return t.datagram()
	}
	connection := "keep-alive"
	if last {
		connection = "close"
	}
	if _, err := fmt.Fprintf(t, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n\r\n", t.v.virtual(), connection); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(t.r, nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("answered %s", resp.Status)
	}
	return string(body), nil
}

func (t *talk) datagram() (string, error) {
	question := []byte("who are you?")
	if _, err := t.Write(question); err != nil {
		return "", err
	}
	buf := make([]byte, 2048)
	n, err := t.Read(buf)
	if err != nil {
		return "", err
	}
	name, echo, _ := bytes.Cut(buf[:n], []byte(" "))
	if !bytes.Equal(echo, question) {
		return "", fmt.Errorf("the answer %q does not belong to the question", buf[:n])
	}
	return string(name), nil
}

// once makes one request on a connection of its own.
func (s *stage) once(ctx context.Context, v service) answer {
	a := answer{begun: time.Now()}
	t, err := s.talk(ctx, v)
	if err == nil {
		a.from, err = t.ask(true)
		t.Close()
	}
	a.took, a.err = time.Since(a.begun), err
	return a
}

// some makes n requests, one after the other. All connections stay open until
// the last answer: a port of the client that is used again would be the same
// connection to weir, rightly go to the same server, and spoil the count.
func (s *stage) some(ctx context.Context, n int, v service) (all tally, err error) {
	var open []*talk
	defer func() {
		for _, t := range open {
			t.Close()
		}
	}()
	for range n {
		if err := ctx.Err(); err != nil {
			return all, err
		}
		a := answer{begun: time.Now()}
		t, err := s.talk(ctx, v)
		if err == nil {
			open = append(open, t)
			a.from, err = t.ask(false)
		}
		a.took, a.err = time.Since(a.begun), err
		all = append(all, a)
	}
	return all, nil
}

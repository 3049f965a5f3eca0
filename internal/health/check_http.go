package health

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

const (
	mostBody      = 1 << 20 // bytes of an answer that are read and matched
	mostRedirects = 7       // as many as ldirectord's library follows
)

// request sends a request and wants a 2xx answer whose body matches.
type request struct {
	scheme  string
	method  string
	url     *url.URL // path and query, or a whole URL
	host    string   // Host header; empty: the target's address
	receive *regexp.Regexp
	timeout time.Duration
}

func newHTTP(c lvs.Check) (*request, error) {
	receive, err := regexp.Compile(c.Receive)
	if err != nil {
		return nil, fmt.Errorf("what to receive: %w", err)
	}
	r := &request{scheme: string(c.Kind), method: c.Method, host: c.Host, receive: receive, timeout: c.Timeout}
	if r.method == "" {
		r.method = http.MethodGet
	}
	text := c.Request
	if !strings.Contains(text, r.scheme+"://") && !strings.HasPrefix(text, "/") {
		text = "/" + text
	}
	// A dialect that puts a slash before everything puts it before URLs too.
	if rest := strings.TrimPrefix(text, "/"); strings.HasPrefix(rest, r.scheme+"://") {
		text = rest
	}
	if r.url, err = url.Parse(text); err != nil {
		return nil, fmt.Errorf("request %q: %w", c.Request, err)
	}
	return r, nil
}

func (r *request) String() string { return r.method + " " + r.scheme + " " + r.url.String() }

func (r *request) Check(ctx context.Context, target netip.AddrPort) error {
	return within(ctx, r.timeout, func(ctx context.Context) error {
		return r.ask(ctx, target)
	})
}

func (r *request) ask(ctx context.Context, target netip.AddrPort) error {
	u := *r.url
	if !u.IsAbs() {
		u.Scheme, u.Host = r.scheme, target.String()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "weir")
	req.Host = r.hostHeader(target)
	trip := &trip{r.name()}
	client := http.Client{Transport: trip, CheckRedirect: r.redirect(target, trip)}
	resp, err := client.Do(req)
	if err != nil {
		return notHTTP(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostBody))
	if err != nil {
		return err
	}
	return r.judge(resp.StatusCode, body)
}

func (r *request) judge(status int, body []byte) error {
	if status < 200 || status > 299 {
		return failf(lvs.ReasonMismatch, "status %d, want 2xx", status)
	}
	if !r.receive.Match(body) {
		return failf(lvs.ReasonMismatch, "status %d, but the body does not match %q", status, r.receive)
	}
	return nil
}

// hostHeader is the virtual host, else the real server's address without port.
func (r *request) hostHeader(target netip.AddrPort) string {
	if r.host != "" {
		return r.host
	}
	if target.Addr().Is6() {
		return "[" + target.Addr().WithZone("").String() + "]"
	}
	return target.Addr().String()
}

// name is the virtual host without a port.
func (r *request) name() string {
	if host, _, err := net.SplitHostPort(r.host); err == nil {
		return host
	}
	return r.host
}

// redirect decides about the next step of a chain of redirects. One to the
// server's own name stays with the server: followed through the name it would
// come back to the virtual address and ask any of them. One to another host is
// followed there, as ldirectord does.
func (r *request) redirect(target netip.AddrPort, trip *trip) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		if len(via) > mostRedirects {
			return http.ErrUseLastResponse
		}
		host := req.URL.Hostname()
		own := strings.EqualFold(host, r.name())
		if !own && host != target.Addr().String() {
			trip.serverName = ""
			return nil
		}
		trip.serverName = r.name()
		if own {
			req.Host = req.URL.Host
			req.URL.Host = r.stay(req.URL, target)
		}
		return nil
	}
}

// stay is where the real server serves a URL of its own name: where it was
// asked first, unless the URL changes to the other scheme.
func (r *request) stay(u *url.URL, target netip.AddrPort) string {
	if u.Scheme == r.scheme {
		return target.String()
	}
	port := map[string]uint16{"http": 80, "https": 443}[u.Scheme]
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		port = uint16(n)
	}
	return netip.AddrPortFrom(target.Addr(), port).String()
}

// notHTTP names an answer that is no HTTP; the library has no type for it.
func notHTTP(err error) error {
	if text := innermost(err).Error(); strings.Contains(text, "malformed") {
		return failf(lvs.ReasonMismatch, "the answer is not HTTP: %s", text)
	}
	return err
}

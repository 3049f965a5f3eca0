// Package client speaks to a running weir, on its socket or elsewhere over
// TLS: the words of its API, where its socket is, and one method for each thing
// to ask.
//
// It is the only way commands reach a weir. It never decides anything and
// keeps nothing between calls.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// ErrNotRunning says that nobody answered on the socket. Test with errors.Is.
var ErrNotRunning = errors.New("weir is not running here")

// answerLimit bounds an answer that is read into memory as a whole.
const answerLimit = 64 << 20

// listLimit bounds a list, of which one service at a time is held. One that is
// cut off has no end, which is an error.
const listLimit = 1 << 30

// A Client asks the weir behind one unix socket, or one elsewhere.
type Client struct {
	socket string  // empty: elsewhere
	base   url.URL // scheme and host
	token  string
	match  lvs.Match // what is changed must have such a tag
	broken error     // why nobody can be asked
	http   *http.Client
}

// Local tells whether the weir is asked on its unix socket.
func (c *Client) Local() bool { return c.socket != "" }

// New is a client of the weir listening on socket. It connects when asked.
func New(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, base: url.URL{Scheme: "http", Host: "weir"}, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, ReadBufferSize: 1 << 16}}}
}

// Status asks how weir is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, "/v1/status", nil)
}

// Services asks for the table with its health and counters.
func (c *Client) Services(ctx context.Context) ([]Service, error) {
	all := []Service{}
	for s, err := range c.EachService(ctx) {
		if err != nil {
			return nil, err
		}
		all = append(all, *s)
		all[len(all)-1].Destinations = slices.Clone(s.Destinations)
	}
	return all, nil
}

// EachService is Services, as the answer comes. Each is good until the next.
func (c *Client) EachService(ctx context.Context) iter.Seq2[*Service, error] {
	return c.list(ctx, nil)
}

// Table is EachService without the counters, which is quicker.
func (c *Client) Table(ctx context.Context) iter.Seq2[*Service, error] {
	return c.list(ctx, url.Values{"counters": {"false"}})
}

// Matching is EachService of one service, or of none if it is not there.
func (c *Client) Matching(ctx context.Context, k lvs.ServiceKey) iter.Seq2[*Service, error] {
	return c.list(ctx, url.Values{"service": {k.String()}})
}

func (c *Client) list(ctx context.Context, q url.Values) iter.Seq2[*Service, error] {
	return func(yield func(*Service, error) bool) {
		enough := false
		err := c.read(ctx, http.MethodGet, "/v1/services", q, nil, func(answer io.Reader) (err error) {
			enough, err = readList(io.LimitReader(answer, listLimit), func(s *Service) bool { return yield(s, nil) })
			return err
		})
		if err != nil && !enough {
			yield(nil, err)
		}
	}
}

// Change makes changes by hand, one after the other. Each takes effect or is
// refused by itself: there is an error of lvs, or nil, for each.
func (c *Client) Change(ctx context.Context, changes []lvs.Change) ([]error, error) {
	in := Changes{Changes: make([]Change, 0, len(changes))}
	for _, x := range changes {
		in.Changes = append(in.Changes, ChangeOf(x))
	}
	outcomes, err := send[[]Outcome](ctx, c, http.MethodPost, "/v1/changes", nil, in)
	if err != nil {
		return nil, err
	}
	if len(outcomes) != len(changes) {
		return nil, fmt.Errorf("read the answer of weir: %d outcomes of %d changes", len(outcomes), len(changes))
	}
	errs := make([]error, len(changes))
	for i, o := range outcomes {
		errs[i] = o.Err()
	}
	return errs, nil
}

// Zero makes one service count from zero, or everything if k is nil.
func (c *Client) Zero(ctx context.Context, k *lvs.ServiceKey) error {
	q := url.Values{}
	if k != nil {
		q.Set("service", k.String())
	}
	_, err := ask[Zeroed](ctx, c, http.MethodPost, "/v1/zero", q)
	return err
}

// Timeouts asks for the timeouts in force.
func (c *Client) Timeouts(ctx context.Context) (lvs.Timeouts, error) {
	t, err := get[Timeouts](ctx, c, "/v1/timeouts", nil)
	return t.Noun(), err
}

// Connections asks for at most q.Limit connections that match.
func (c *Client) Connections(ctx context.Context, q ConnectionQuery) (Connections, error) {
	v := url.Values{"limit": {fmt.Sprint(q.Limit)}, "cursor": {fmt.Sprint(q.Cursor)}}
	for name, value := range map[string]string{"client": q.Client, "service": q.Service,
		"destination": q.Destination, "state": q.State, "protocol": q.Protocol} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return get[Connections](ctx, c, "/v1/connections", v)
}

// Totals asks for every counter.
func (c *Client) Totals(ctx context.Context) (Totals, error) {
	return get[Totals](ctx, c, "/v1/totals", nil)
}

// Explain asks what would happen to a made-up packet.
func (c *Client) Explain(ctx context.Context, q ExplainQuery) (lvs.Explanation, error) {
	return get[lvs.Explanation](ctx, c, "/v1/explain", url.Values{
		"protocol": {q.Protocol}, "from": {q.From}, "to": {q.To}, "flags": {q.Flags}, "interface": {q.Interface},
		"ttl": {fmt.Sprint(q.TTL)}, "length": {fmt.Sprint(q.Length)},
	})
}

// Events asks for what happened after since. With wait, an answer without
// events is held back that long for the first one.
func (c *Client) Events(ctx context.Context, since time.Time, wait time.Duration) ([]lvs.Event, error) {
	v := url.Values{}
	if !since.IsZero() {
		v.Set("since", since.Format(time.RFC3339Nano))
	}
	if wait > 0 {
		v.Set("wait", fmt.Sprint(int(wait.Seconds())))
	}
	return get[[]lvs.Event](ctx, c, "/v1/events", v)
}

// Config asks for the configuration in force.
func (c *Client) Config(ctx context.Context) (Config, error) {
	return get[Config](ctx, c, "/v1/config", nil)
}

// ApplyConfig puts a text in the place of the configuration file, if it is
// good, and applies it.
func (c *Client) ApplyConfig(ctx context.Context, text []byte) (Reloaded, error) {
	return send[Reloaded](ctx, c, http.MethodPut, "/v1/config", nil, ConfigText{Text: string(text)})
}

// Rollback goes back to the configuration before the one in force.
func (c *Client) Rollback(ctx context.Context) (Reloaded, error) {
	return ask[Reloaded](ctx, c, http.MethodPost, "/v1/config/rollback", nil)
}

// History lists the configurations that were applied, oldest first.
func (c *Client) History(ctx context.Context) ([]Version, error) {
	return get[[]Version](ctx, c, "/v1/config/history", nil)
}

// CheckConfig asks what is wrong with a configuration.
func (c *Client) CheckConfig(ctx context.Context, t ConfigText) (Checked, error) {
	return send[Checked](ctx, c, http.MethodPost, "/v1/config/check", nil, t)
}

// DiffConfig asks what a configuration would change.
func (c *Client) DiffConfig(ctx context.Context, t ConfigText) (Diff, error) {
	return send[Diff](ctx, c, http.MethodPost, "/v1/config/diff", nil, t)
}

// Metrics writes the metrics, in the text form of Prometheus: of many services
// they are too long to be held.
func (c *Client) Metrics(ctx context.Context, w io.Writer) error {
	return c.read(ctx, http.MethodGet, "/metrics", nil, nil, func(answer io.Reader) error {
		_, err := io.Copy(w, answer)
		return err
	})
}

// Reload makes weir read its configuration again; the answer holds its
// warnings. A refusal is a *Problem.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	return ask[Reloaded](ctx, c, http.MethodPost, "/v1/reload", nil)
}

// Routers are the virtual routers this director takes part in.
func (c *Client) Routers(ctx context.Context) ([]Router, error) {
	return get[[]Router](ctx, c, "/v1/routers", nil)
}

// HandOver makes this director give the addresses of a virtual router to a
// peer.
func (c *Client) HandOver(ctx context.Context, router string) error {
	_, err := c.do(ctx, http.MethodPost, "/v1/routers/"+url.PathEscape(router)+"/handover", nil, nil)
	return err
}

// Down makes weir take its table away and stop. The answer comes before it
// has stopped.
func (c *Client) Down(ctx context.Context) (Downed, error) {
	return ask[Downed](ctx, c, http.MethodPost, "/v1/down", nil)
}

func get[T any](ctx context.Context, c *Client, path string, q url.Values) (T, error) {
	return ask[T](ctx, c, http.MethodGet, path, q)
}

func ask[T any](ctx context.Context, c *Client, method, path string, q url.Values) (T, error) {
	return send[T](ctx, c, method, path, q, nil)
}

// send asks with a body, if there is one.
func send[T any](ctx context.Context, c *Client, method, path string, q url.Values, content any) (answer T, err error) {
	var sent io.Reader
	if content != nil {
		b, err := json.Marshal(content)
		if err != nil {
			return answer, err
		}
		sent = bytes.NewReader(b)
	}
	body, err := c.do(ctx, method, path, q, sent)
	if err != nil {
		return answer, err
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&answer); err != nil {
		return answer, fmt.Errorf("read the answer of weir: %w; is it of another version?", err)
	}
	return answer, nil
}

// do sends one request and takes the whole answer; a refusal is an error.
func (c *Client) do(ctx context.Context, method, path string, q url.Values, content io.Reader) (body []byte, err error) {
	err = c.read(ctx, method, path, q, content, func(answer io.Reader) (err error) {
		body, err = whole(answer)
		return err
	})
	return body, err
}

// whole reads an answer into memory. One that is too long is an error, not cut off.
func whole(answer io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(answer, answerLimit+1))
	if err == nil && len(body) > answerLimit {
		err = fmt.Errorf("it is longer than %d MiB", answerLimit>>20)
	}
	return body, err
}

// read sends one request and has its answer read; a refusal is an error.
func (c *Client) read(ctx context.Context, method, path string, q url.Values, content io.Reader, take func(io.Reader) error) error {
	return c.call(ctx, method, path, q, content, func(_ http.Header, answer io.Reader) error { return take(answer) })
}

func (c *Client) call(ctx context.Context, method, path string, q url.Values, content io.Reader, take func(http.Header, io.Reader) error) error {
	if c.broken != nil {
		return c.broken
	}
	u := c.base
	u.Path, u.RawQuery = path, q.Encode()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return err
	}
	if content != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.match != nil && method != http.MethodGet {
		r.Header.Set("If-Match", c.match.String())
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		body, err := whole(resp.Body)
		if err != nil {
			return fmt.Errorf("read the answer of weir: %w", err)
		}
		return problem(resp, body)
	}
	if err := take(resp.Header, resp.Body); err != nil {
		return fmt.Errorf("read the answer of weir: %w", err)
	}
	return nil
}

func (c *Client) unreachable(err error) error {
	if !c.Local() {
		return c.remoteFailure(err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("ask weir on %s: %w; run this as root", c.socket, fs.ErrPermission)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("%w (no answer on %s: %v)", ErrNotRunning, c.socket, op.Err)
	}
	return fmt.Errorf("ask weir on %s: %w", c.socket, err)
}

// A Problem is a refusal, in the words of RFC 9457.
type Problem struct {
	Type   string `json:"type"`
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"` // query.limit
	} `json:"errors"`
}

func problem(resp *http.Response, body []byte) error {
	p := &Problem{Status: resp.StatusCode, Title: resp.Status}
	if json.Unmarshal(body, p) != nil {
		p.Detail = strings.TrimSpace(string(body[:min(len(body), 200)]))
	}
	return p
}

// Error is the refusal with all its reasons, one in a line.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	for _, e := range p.Errors {
		text += "\n"
		if _, name, ok := strings.Cut(e.Location, "."); ok {
			text += name + ": "
		}
		text += e.Message
	}
	return text
}

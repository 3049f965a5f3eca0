package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/weir-lb/weir/internal/lvs"
)

// If is a client whose changes are refused with lvs.ErrChanged unless what they
// are about has this tag still: the service, the configuration, the timeouts, or
// the whole table for what changes that, adds a service or is a list of changes.
func (c *Client) If(tag string) *Client {
	picky := *c
	picky.match = lvs.MatchOf(tag)
	return &picky
}

// WholeTable asks for nothing but services and destinations, and their tag.
func (c *Client) WholeTable(ctx context.Context) (t Table, tag string, err error) {
	return c.table(ctx, http.MethodGet, nil)
}

// ReplaceTable makes t the whole table, or changes nothing. The answer is how
// it is then, and its tag.
func (c *Client) ReplaceTable(ctx context.Context, t Table) (now Table, tag string, err error) {
	text, err := json.Marshal(t)
	if err != nil {
		return now, "", err
	}
	return c.table(ctx, http.MethodPut, bytes.NewReader(text))
}

func (c *Client) table(ctx context.Context, method string, content io.Reader) (t Table, tag string, err error) {
	err = c.call(ctx, method, "/v1/table", nil, content, func(h http.Header, answer io.Reader) error {
		tag = strings.Trim(h.Get("ETag"), `"`)
		return json.NewDecoder(io.LimitReader(answer, answerLimit)).Decode(&t)
	})
	return t, tag, err
}

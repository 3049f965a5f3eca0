package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// A Remote says which weir elsewhere to ask, and as whom. Paths may be empty.
type Remote struct {
	Server    string // https://host:port
	Token     string
	TokenFile string // read if there is no Token
	CA        string // who is believed about the server; empty: the system's
	Cert, Key string // a client certificate
}

// NewRemote is a client of the weir at r.Server. It connects when asked, and
// tells then what is wrong with r.
func NewRemote(r Remote) *Client {
	c, err := r.client()
	if err != nil {
		return &Client{broken: err}
	}
	return c
}

func (r Remote) client() (*Client, error) {
	u, err := url.Parse(r.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("server %q: write it as https://host:port", r.Server)
	}
	t, err := r.tls()
	if err != nil {
		return nil, err
	}
	token, err := r.token()
	if err != nil {
		return nil, err
	}
	dial := (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	transport := &http.Transport{DialContext: dial, TLSClientConfig: t, TLSHandshakeTimeout: 10 * time.Second,
		DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}
	return &Client{base: url.URL{Scheme: "https", Host: u.Host}, token: token,
		http: &http.Client{Transport: transport, CheckRedirect: stay}}, nil
}

func (r Remote) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if r.CA != "" {
		text, err := os.ReadFile(r.CA)
		if err != nil {
			return nil, fmt.Errorf("read who is believed about %s: %w", r.Server, err)
		}
		if t.RootCAs = x509.NewCertPool(); !t.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read who is believed about %s: no certificate in %s; give it as PEM", r.Server, r.CA)
		}
	}
	if r.Cert != "" || r.Key != "" {
		pair, err := tls.LoadX509KeyPair(r.Cert, r.Key)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate: %w; give both certificate and key", err)
		}
		// Sent whatever issuers the server believes: it says what is wrong.
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return t, nil
}

// stay follows no redirect: whoever answers with one is no weir, and would be
// sent the token.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (r Remote) token() (string, error) {
	if r.Token != "" || r.TokenFile == "" {
		return r.Token, nil
	}
	text, err := os.ReadFile(r.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("read the token: %s does not hold one token and nothing else", r.TokenFile)
	}
	return token, nil
}

// ErrUnreachable says that a weir elsewhere did not answer. Test with
// errors.Is.
var ErrUnreachable = errors.New("no weir answers there")

// remoteFailure explains why a weir elsewhere was not asked.
func (c *Client) remoteFailure(err error) error {
	where := c.base.String()
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("ask weir at %s: %w", where, err)
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return fmt.Errorf("%w (%s: %w; name who signed its certificate with --ca)", ErrUnreachable, where, err)
	}
	return fmt.Errorf("%w (%s: %w)", ErrUnreachable, where, err)
}

package guard

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/api/token"
	"github.com/weir-lb/weir/internal/config"
)

// keys are what was read of the files the configuration names. They are not
// changed afterwards.
type keys struct {
	tls     *tls.Config // nil: there is no certificate yet
	issuers *x509.CertPool
	clients []config.APIClient
	tokens  []token.Entry
}

// suites for TLS 1.2: a key of its own for each connection, and ciphers that
// notice forgery. Those of 1.3 are all so.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// load reads everything; what is wrong are warnings, for traffic does not wait
// for the API.
func load(c config.API, old *keys) (*keys, config.Problems) {
	var problems config.Problems
	k := &keys{clients: c.Clients, tls: old.tls}
	if !c.Served() {
		return &keys{}, nil
	}
	if c.ClientCA != "" {
		pool, err := readPool(c.ClientCA)
		if err != nil {
			problems.Warnf(c.At("client_ca"), "api: client_ca: %v; no certificate is let in", err)
		}
		k.issuers = pool
	}
	if c.Tokens != "" {
		var err error
		if k.tokens, err = token.Read(c.Tokens); err != nil {
			for line := range strings.Lines(err.Error()) {
				problems.Warnf(c.At("tokens"), "api: tokens: %s; this lets nobody in", strings.TrimSpace(line))
			}
		}
	}
	if info, err := os.Stat(c.Key); err == nil && info.Mode().Perm()&0o007 != 0 {
		problems.Warnf(c.At("key"), "api: key: everybody can read %s; chmod 0600 it, and take another key if others use this host", c.Key)
	}
	pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
	switch {
	case err == nil:
		if pair.Leaf != nil && time.Now().After(pair.Leaf.NotAfter) {
			problems.Warnf(c.At("certificate"), "api: certificate: %s has expired on %s; clients will refuse it", c.Certificate, pair.Leaf.NotAfter.Format(time.DateOnly))
		}
		k.tls = k.served(pair)
	case old.tls != nil:
		problems.Warnf(c.At("certificate"), "api: certificate %s with key %s: %v; the ones read before stay in use", c.Certificate, c.Key, err)
		k.tls = k.served(old.tls.Certificates[0])
	default:
		problems.Warnf(c.At("certificate"), "api: certificate %s with key %s: %v; the API is not served over TCP", c.Certificate, c.Key, err)
	}
	return k, problems
}

// served is TLS with that certificate. A client's certificate is asked for and
// looked at when a request comes, which can be told why it is refused, and is
// held to the issuers of that moment.
func (k *keys) served(pair tls.Certificate) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: suites, NextProtos: []string{"http/1.1"},
		Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: true}
	if k.issuers != nil {
		c.ClientAuth, c.ClientCAs = tls.RequestClientCert, k.issuers
	}
	return c
}

// TLS is what connections begin with: always the certificate read last.
func (g *Guard) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return g.keys.Load().tls, nil }}
}

func readPool(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("no certificate in %s; give it as PEM", path)
	}
	return pool, nil
}

// ways says how to log in.
func (k *keys) ways() string {
	const byToken, byCertificate = "send a token as Authorization: Bearer TOKEN", "come with a client certificate"
	switch {
	case k.issuers == nil:
		return byToken
	case len(k.tokens) == 0:
		return byCertificate
	}
	return byToken + ", or " + byCertificate
}

// login finds out who sent r and fills c; what it gives is why nobody is let
// in. A token counts more than a certificate.
func (k *keys) login(r *http.Request, c *Call) (why string) {
	if all := r.Header.Values("Authorization"); len(all) > 0 {
		return k.byToken(all, c)
	}
	if k.issuers == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return "nobody is logged in"
	}
	return k.byCertificate(r.TLS.PeerCertificates, c)
}

func (k *keys) byToken(headers []string, c *Call) string {
	scheme, secret, ok := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return "the Authorization header is not understood"
	}
	e, ok := token.Find(k.tokens, strings.TrimSpace(secret))
	if !ok {
		return "the token is not known"
	}
	c.Login, c.Who, c.Role, c.entry = LoginToken, e.Name, e.Role, e
	return ""
}

func (k *keys) byCertificate(chain []*x509.Certificate, c *Call) string {
	between := x509.NewCertPool()
	for _, x := range chain[1:] {
		between.AddCert(x)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: k.issuers, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return "the certificate is not believed: " + err.Error()
	}
	c.chain = chain
	c.Login, c.Who = LoginCertificate, "without a name"
	names := namesOf(chain[0])
	if len(names) > 0 {
		c.Who = names[0]
	}
	if entry, ok := k.client(names); ok {
		c.Who, c.Role = entry.Name, entry.Role
	}
	return ""
}

func namesOf(x *x509.Certificate) (names []string) {
	if x.Subject.CommonName != "" {
		names = append(names, x.Subject.CommonName)
	}
	names = append(append(names, x.DNSNames...), x.EmailAddresses...)
	for _, u := range x.URIs {
		names = append(names, u.String())
	}
	return names
}

func (k *keys) client(names []string) (c config.APIClient, ok bool) {
	i := slices.IndexFunc(k.clients, func(c config.APIClient) bool { return slices.Contains(names, c.Name) })
	if i < 0 {
		return c, false
	}
	return k.clients[i], true
}

// knows tells whether who made a call would be let in again, as the same.
func (k *keys) knows(c *Call) bool {
	switch c.Login {
	case LoginToken:
		return slices.ContainsFunc(k.tokens, c.entry.Same)
	case LoginCertificate:
		var again Call
		return k.issuers != nil && k.byCertificate(c.chain, &again) == "" && again.Role == c.Role
	}
	return false
}

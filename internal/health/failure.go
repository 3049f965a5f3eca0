package health

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/weir-lb/weir/internal/lvs"
)

// A Failure is a bad answer, or none.
type Failure struct {
	Reason lvs.Reason // a bounded word, fit for a metric label
	Text   string     // the operator's words: "status 503, want 2xx"
}

// Error is the failure in the operator's words.
func (f *Failure) Error() string { return f.Text }

func failf(r lvs.Reason, format string, args ...any) *Failure {
	return &Failure{r, clean(fmt.Sprintf(format, args...))}
}

// networkErrors are the ways a connection fails, as the kernel calls them.
var networkErrors = []struct {
	errno  syscall.Errno
	reason lvs.Reason
	text   string
}{
	{syscall.ECONNREFUSED, lvs.ReasonRefused, "connection refused"},
	{syscall.ECONNRESET, lvs.ReasonReset, "connection reset"},
	{syscall.EPIPE, lvs.ReasonReset, "connection reset"},
	{syscall.EHOSTUNREACH, lvs.ReasonNetwork, "host unreachable"},
	{syscall.ENETUNREACH, lvs.ReasonNetwork, "network unreachable"},
	{syscall.EHOSTDOWN, lvs.ReasonNetwork, "host down"},
	{syscall.EADDRNOTAVAIL, lvs.ReasonNetwork, "no local address to ask from"},
}

// explain turns an error of the network into a Failure.
func explain(err error, limit time.Duration) *Failure {
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return failf(lvs.ReasonTimeout, "no answer within %s", limit)
	}
	for _, known := range networkErrors {
		if errors.Is(err, known.errno) {
			return &Failure{known.reason, known.text}
		}
	}
	if isTLS(err) {
		return failf(lvs.ReasonTLS, "TLS: %s", innermost(err))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &Failure{lvs.ReasonReset, "connection closed before the answer was complete"}
	}
	return failf(lvs.ReasonOther, "%s", innermost(err))
}

func isTLS(err error) bool {
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &record) || errors.As(err, &alert) ||
		strings.HasPrefix(innermost(err).Error(), "tls: ")
}

// innermost drops the wrapping that repeats the address of the target.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// longest is how much of a failure's text is kept. It goes into logs and
// listings, and parts of it were written by the real server.
const longest = 200

// clean makes text safe to print on one line of a terminal.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if runes := []rune(s); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return s
}

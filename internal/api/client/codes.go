package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/weir-lb/weir/internal/lvs"
)

// codes are the words by which refusals travel, and what HTTP says to them.
var codes = []struct {
	code   string
	status int
	err    error
}{
	{"service-exists", http.StatusConflict, lvs.ErrServiceExists},
	{"no-service", http.StatusNotFound, lvs.ErrNoService},
	{"destination-exists", http.StatusConflict, lvs.ErrDestinationExists},
	{"no-destination", http.StatusNotFound, lvs.ErrNoDestination},
	{"no-scheduler", http.StatusUnprocessableEntity, lvs.ErrNoScheduler},
	{"out-of-range", http.StatusUnprocessableEntity, lvs.ErrRange},
	{"invalid", http.StatusUnprocessableEntity, lvs.ErrInvalid},
	{"daemon-runs", http.StatusConflict, lvs.ErrDaemonRuns},
	{"no-daemon", http.StatusNotFound, lvs.ErrNoDaemon},
	{"no-interface", http.StatusUnprocessableEntity, lvs.ErrNoInterface},
	{"changed", http.StatusPreconditionFailed, lvs.ErrChanged},
	{"full", http.StatusInsufficientStorage, lvs.ErrFull},
	{"unsupported", http.StatusNotImplemented, lvs.ErrUnsupported},
}

// ProblemType begins the type of every refusal that has a code (RFC 9457).
const ProblemType = "urn:weir:"

// Code is the word for err, and the status that goes with it. What has no word is
// "refused".
func Code(err error) (code string, status int) {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code, c.status
		}
	}
	return "refused", http.StatusServiceUnavailable
}

// OutcomeOf is err, or nil, as it travels.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Outcome{}
	}
	code, _ := Code(err)
	return Outcome{Code: code, Detail: err.Error()}
}

// A refusal is an error that came with a code.
type refusal struct {
	text string
	err  error
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.err }

// Err is the outcome as an error of lvs, or nil.
func (o Outcome) Err() error {
	if o.Code == "" {
		return nil
	}
	for _, c := range codes {
		if c.code == o.Code {
			return refusal{o.Detail, c.err}
		}
	}
	return fmt.Errorf("refused: %s", o.Detail)
}

// Unwrap is the error of lvs a problem stands for, if it does.
func (p *Problem) Unwrap() error {
	code, ok := strings.CutPrefix(p.Type, ProblemType)
	for _, c := range codes {
		if ok && c.code == code {
			return c.err
		}
	}
	return nil
}

package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

// How long a body may take to come, unless the operation says otherwise, and
// how long a part of an answer may take to be taken.
const (
	bodyTime  = 5 * time.Second
	writeTime = 30 * time.Second
)

// A writer sees which status was answered, and gives up on who does not take
// the answer.
type writer struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int
	until   time.Time
}

// Unwrap lets others find what the connection can do.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if now := time.Now(); w.until.Sub(now) < writeTime/2 {
		w.until = now.Add(writeTime)
		_ = w.control.SetWriteDeadline(w.until) // refused where there is none
	}
	return w.ResponseWriter.Write(b)
}

// bounded is the body of r, which has to come in time. Without one there is
// nothing to wait for.
func (w *writer) bounded(r *http.Request) io.ReadCloser {
	if r.Body == nil || r.Body == http.NoBody {
		return r.Body
	}
	_ = w.control.SetReadDeadline(time.Now().Add(bodyTime))
	return &body{r.Body, w.control}
}

// A body lifts the deadline once it has come whole: the server goes on reading
// to see whether the client leaves, and must not take the deadline for that.
type body struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// refuse answers with a problem of RFC 9457.
func refuse(w http.ResponseWriter, c *Call, status int, kind, detail string) {
	c.why = detail
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// An answer nobody takes is no loss.
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "urn:weir:" + kind, "title": http.StatusText(status), "status": status, "detail": detail})
}

func tooMany(w http.ResponseWriter, c *Call, wait time.Duration, detail string) {
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", fmt.Sprint(seconds))
	refuse(w, c, http.StatusTooManyRequests, "too-many", fmt.Sprintf("%s; try again in %d s", detail, seconds))
}

// Full refuses a request there is no room for at the moment.
func Full(w http.ResponseWriter, r *http.Request, detail string) {
	tooMany(w, Of(r.Context()), 30*time.Second, detail)
}

// Allow tells whether the caller of r may do what needs that role. If not, it
// has answered.
func Allow(w http.ResponseWriter, r *http.Request, need lvs.Role) bool {
	c := Of(r.Context())
	switch {
	case c.Role >= need && c.Role != lvs.RoleNone:
		return true
	case c.Login == LoginNone:
		refuse(w, c, http.StatusUnauthorized, "unauthenticated", "nobody is logged in")
	case c.Role == lvs.RoleNone:
		refuse(w, c, http.StatusForbidden, Forbidden, fmt.Sprintf("the %s %s has no role; name it under clients in the api section", c.Login, c.Who))
	default:
		refuse(w, c, http.StatusForbidden, Forbidden, c.Lacks(need))
	}
	return false
}

// Forbidden is the kind of refusal for want of a role.
const Forbidden = "forbidden"

// Lacks says that a caller has not the role something needs.
func (c *Call) Lacks(need lvs.Role) string {
	return fmt.Sprintf("this needs the role %s; the %s %s has the role %s", need, c.Login, c.Who, c.Role)
}

package metrics

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

// Handler answers with all metrics, those of the process with them, in
// Prometheus's text format, which every reader of metrics knows. What every
// service has is written as it is found: a million series at once, which 10,000
// services of ten real servers have, take most of a gigabyte.
func Handler(o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", string(form))
		out, done := compressed(w, r)
		defer done()
		p := o.picture(r.Context())
		if p.writeFew(out) != nil || p.writeMany(out) != nil {
			panic(http.ErrAbortHandler) // an answer without its end, not a shorter one
		}
	})
}

var form = expfmt.NewFormat(expfmt.TypeTextPlain)

func (p picture) writeFew(to io.Writer) error {
	r := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), few{p}} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	gathered, err := r.Gather()
	if err != nil {
		return err
	}
	e := expfmt.NewEncoder(to, form)
	for _, f := range gathered {
		if err := e.Encode(f); err != nil {
			return err
		}
	}
	return nil
}

// compressed is where an answer goes, and what to do at its end.
func compressed(w http.ResponseWriter, r *http.Request) (out io.Writer, done func()) {
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		return w, func() {}
	}
	w.Header().Set("Content-Encoding", "gzip")
	z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is one there is; a better one takes longer than the lines
	return z, func() { _ = z.Close() }
}

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

// Handler answers with all metrics, those of the process with them. It gathers
// and writes one family after the other: a million series at once, which 10,000
// services of ten real servers have, take most of a gigabyte.
func Handler(o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		format := expfmt.NegotiateAccept(r.Header, expfmt.DefaultAcceptedFormats()...)
		w.Header().Set("Content-Type", string(format))
		out, done := compressed(w, r)
		defer done()
		e := expfmt.NewEncoder(out, format)
		for _, c := range o.picture(r.Context()).collectors() {
			if write(e, c) != nil {
				panic(http.ErrAbortHandler) // an answer without its end, not a shorter one
			}
		}
	})
}

// collectors are all, each with what is gathered at once.
func (p picture) collectors() []prometheus.Collector {
	all := []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), few{p}}
	for _, f := range families {
		all = append(all, many{p, f})
	}
	return all
}

func write(e expfmt.Encoder, c prometheus.Collector) error {
	r := prometheus.NewRegistry()
	if err := r.Register(c); err != nil {
		return err
	}
	gathered, err := r.Gather()
	if err != nil {
		return err
	}
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
	z := gzip.NewWriter(w)
	return z, func() { _ = z.Close() }
}

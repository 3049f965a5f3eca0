package plan

import (
	"maps"
	"slices"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// A Book is a table that is kept up to date. The services in it are values.
type Book map[lvs.ServiceKey]lvs.Service

// BookOf is a book with these services.
func BookOf(all []lvs.Service) Book { return byKey(all) }

// Services are all in the book, in key order.
func (b Book) Services() []lvs.Service {
	all := slices.AppendSeq(make([]lvs.Service, 0, len(b)), maps.Values(b)) // what grows takes three times as much
	slices.SortFunc(all, func(x, y lvs.Service) int { return x.Key.Compare(y.Key) })
	return all
}

// Of are those of these keys that are in the book, in the order of the keys.
func (b Book) Of(keys []lvs.ServiceKey) []lvs.Service {
	var out []lvs.Service
	for _, k := range keys {
		if s, ok := b[k]; ok {
			out = append(out, s)
		}
	}
	return out
}

// Do writes a step into the book.
func (b Book) Do(s Step) {
	if s.Drop {
		delete(b, s.Service.Key)
		return
	}
	b[s.Service.Key] = s.Service
}

// Of are the services of these keys that are asked for, in the order of the
// keys.
func (w Wish) Of(keys []lvs.ServiceKey) []config.Service {
	var out []config.Service
	for _, k := range keys {
		if s, ok := w[k]; ok {
			out = append(out, s)
		}
	}
	return out
}

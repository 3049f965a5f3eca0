package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/api/guard"
	"github.com/weir-lb/weir/internal/lvs"
)

// mostBytes a request may have: a table of 10,000 services has some two million.
const mostBytes = 64 << 20

// table registers what reads and changes the table.
func (h handlers) table(a huma.API) {
	huma.Get(a, "/v1/services", h.services, says("services", lvs.RoleRead, "The table with health and counters"), lists(a, []client.Service{}))
	huma.Post(a, "/v1/services", h.addService, says("add-service", lvs.RoleAdmin, "Add a virtual service"), created, minds(tableTag))
	huma.Get(a, "/v1/services/{service}", h.service, says("service", lvs.RoleRead, "One virtual service"))
	huma.Put(a, "/v1/services/{service}", h.editService, says("edit-service", lvs.RoleAdmin, "Replace everything of a service but its real servers"), minds(serviceTag))
	huma.Delete(a, "/v1/services/{service}", h.deleteService, says("delete-service", lvs.RoleAdmin, "Delete a virtual service"), minds(serviceTag))
	huma.Post(a, "/v1/services/{service}/destinations", h.addDestination, says("add-server", lvs.RoleAdmin, "Add a real server"), created, minds(serviceTag))
	huma.Put(a, "/v1/services/{service}/destinations/{destination}", h.editDestination, says("edit-server", lvs.RoleAdmin, "Replace everything of a real server but its address"), minds(serviceTag))
	huma.Delete(a, "/v1/services/{service}/destinations/{destination}", h.deleteDestination, says("delete-server", lvs.RoleAdmin, "Delete a real server"), minds(serviceTag))
	huma.Put(a, "/v1/services/{service}/destinations/{destination}/order", h.order, says("order", lvs.RoleOperate, "Give a real server a weight that beats configuration and health"), minds(serviceTag))
	huma.Delete(a, "/v1/services/{service}/destinations/{destination}/order", h.revoke, says("revoke", lvs.RoleOperate, "Take such an order back"), minds(serviceTag))
	huma.Get(a, "/v1/table", h.wholeTable, says("table", lvs.RoleRead, "The table alone"))
	huma.Put(a, "/v1/table", h.replaceTable, says("replace-table", lvs.RoleAdmin, "Replace the whole table, or nothing"), large, minds(tableTag))
	huma.Post(a, "/v1/changes", h.changes, says("changes", lvs.RoleOperate, "Make many changes, each by itself"), large, minds(tableTag))
	huma.Post(a, "/v1/zero", h.zero, says("zero", lvs.RoleOperate, "Count from zero"), minds(serviceTag, tableTag))
	huma.Get(a, "/v1/timeouts", h.timeouts, says("timeouts", lvs.RoleRead, "The timeouts in force"))
	huma.Put(a, "/v1/timeouts", h.setTimeouts, says("set-timeouts", lvs.RoleAdmin, "Set timeouts"), minds(timeoutTag))
}

func created(op *huma.Operation) { op.DefaultStatus = http.StatusCreated }

func large(op *huma.Operation) { op.MaxBodyBytes, op.BodyReadTimeout = mostBytes, time.Minute }

// Named is a service that stands in the path. It is exported for huma, which
// fills it.
type Named struct {
	Service string `path:"service" example:"tcp:192.0.2.1:80" doc:"protocol, address and port; or fwm:7"`
}

func (n Named) key() (lvs.ServiceKey, error) {
	k, err := lvs.ParseServiceKey(n.Service)
	if err != nil {
		return k, huma.Error422UnprocessableEntity(err.Error())
	}
	return k, nil
}

// Placed is a destination that stands in the path.
type Placed struct {
	Named
	Destination string `path:"destination" example:"10.0.0.1:80"`
}

func (p Placed) change(ctx context.Context, kind lvs.ChangeKind) (lvs.Change, error) {
	k, err := p.key()
	if err != nil {
		return lvs.Change{}, err
	}
	at, err := netip.ParseAddrPort(p.Destination)
	if err != nil {
		return lvs.Change{}, huma.Error422UnprocessableEntity("destination: want address and port: " + p.Destination)
	}
	return lvs.Change{Kind: kind, Service: lvs.Service{Key: k}, Destination: lvs.Destination{Addr: at}, Match: match(ctx)}, nil
}

// A tagged is an answer with an entity tag.
type tagged[T any] struct {
	ETag string `header:"ETag" doc:"for If-Match of what changes it"`
	Body T
}

func withTag[T any](tag string, content T) *tagged[T] { return &tagged[T]{`"` + tag + `"`, content} }

// one makes one change and answers with the service as it is then; nil if it
// is gone.
func (h handlers) one(ctx context.Context, c lvs.Change) (*tagged[client.Service], error) {
	if err := h.make(ctx, c); err != nil {
		return nil, err
	}
	return h.show(ctx, c.Service.Key)
}

// make makes one change; a refusal comes as a problem.
func (h handlers) make(ctx context.Context, c lvs.Change) error {
	errs, err := h.o.Director.Change(ctx, nil, []lvs.Change{c})
	if err == nil && errs[0] != nil {
		err = errs[0]
	}
	guard.Of(ctx).Note(c.String(), err)
	return problem(err)
}

// problem is err in the words of RFC 9457, with a type that says which of the
// known reasons it is.
func problem(err error) error {
	var already huma.StatusError
	if err == nil || errors.As(err, &already) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return huma.Error503ServiceUnavailable("nobody waits for the outcome any more")
	}
	code, status := client.Code(err)
	m := &huma.ErrorModel{Type: client.ProblemType + code, Status: status, Title: http.StatusText(status), Detail: err.Error()}
	return m
}

func (h handlers) show(ctx context.Context, k lvs.ServiceKey) (*tagged[client.Service], error) {
	counted, err := h.count(ctx, k)
	if err != nil {
		return nil, err
	}
	snap := h.o.Director.Snapshot()
	installed, ok := snap.Installed.Get(k)
	if !ok {
		return nil, problem(refusedKey(k, lvs.ErrNoService))
	}
	s := toService(snap, installed, counted, nil)
	return &tagged[client.Service]{`"` + s.Tag + `"`, s}, nil
}

// count reads the counters of one service; those of one that does not stand,
// or not any more, are zero.
func (h handlers) count(ctx context.Context, k lvs.ServiceKey) (lvs.ServiceCounters, error) {
	c, err := h.o.Observer.Count(ctx, k)
	if err != nil && !errors.Is(err, lvs.ErrNoService) {
		return c, unreadable(err)
	}
	return c, nil
}

func (h handlers) service(ctx context.Context, q *struct{ Named }) (*tagged[client.Service], error) {
	k, err := q.key()
	if err != nil {
		return nil, err
	}
	return h.show(ctx, k)
}

func (h handlers) addService(ctx context.Context, q *struct{ Body client.ServiceSpec }) (*tagged[client.Service], error) {
	s, err := q.Body.Noun()
	if err != nil {
		return nil, problem(err)
	}
	return h.one(ctx, lvs.Change{Kind: lvs.AddService, Service: s, Match: match(ctx)})
}

func (h handlers) editService(ctx context.Context, q *struct {
	Named
	Body client.ServiceSpec
}) (*tagged[client.Service], error) {
	k, err := q.key()
	if err != nil {
		return nil, err
	}
	s, err := q.Body.Noun()
	if err != nil {
		return nil, problem(err)
	}
	if s.Key != k {
		return nil, huma.Error422UnprocessableEntity("the body is about another service than the path")
	}
	return h.one(ctx, lvs.Change{Kind: lvs.EditService, Service: s, Match: match(ctx)})
}

func (h handlers) deleteService(ctx context.Context, q *struct{ Named }) (*struct{}, error) {
	k, err := q.key()
	if err != nil {
		return nil, err
	}
	return nil, h.make(ctx, lvs.Change{Kind: lvs.DeleteService, Service: lvs.Service{Key: k}, Match: match(ctx)})
}

func (h handlers) addDestination(ctx context.Context, q *struct {
	Named
	Body client.DestinationSpec
}) (*tagged[client.Service], error) {
	k, err := q.key()
	if err != nil {
		return nil, err
	}
	d, err := q.Body.Noun()
	if err != nil {
		return nil, problem(err)
	}
	return h.one(ctx, lvs.Change{Kind: lvs.AddDestination, Service: lvs.Service{Key: k}, Destination: d, Match: match(ctx)})
}

func (h handlers) editDestination(ctx context.Context, q *struct {
	Placed
	Body client.DestinationSpec
}) (*tagged[client.Service], error) {
	c, err := q.change(ctx, lvs.EditDestination)
	if err != nil {
		return nil, err
	}
	d, err := q.Body.Noun()
	if err != nil {
		return nil, problem(err)
	}
	if d.Addr != c.Destination.Addr {
		return nil, huma.Error422UnprocessableEntity("the body is about another real server than the path")
	}
	c.Destination = d
	return h.one(ctx, c)
}

func (h handlers) deleteDestination(ctx context.Context, q *struct{ Placed }) (*struct{}, error) {
	c, err := q.change(ctx, lvs.DeleteDestination)
	if err != nil {
		return nil, err
	}
	return nil, h.make(ctx, c)
}

func (h handlers) order(ctx context.Context, q *struct {
	Placed
	Body client.OrderSpec
}) (*tagged[client.Service], error) {
	c, err := q.change(ctx, lvs.OrderWeight)
	if err != nil {
		return nil, err
	}
	c.Destination.Weight = q.Body.Weight
	if q.Body.Until != nil {
		c.Until = *q.Body.Until
	}
	return h.one(ctx, c)
}

func (h handlers) revoke(ctx context.Context, q *struct{ Placed }) (*tagged[client.Service], error) {
	c, err := q.change(ctx, lvs.RevokeOrder)
	if err != nil {
		return nil, err
	}
	return h.one(ctx, c)
}

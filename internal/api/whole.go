package api

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/api/guard"
	"github.com/weir-lb/weir/internal/lvs"
)

func refusedKey(k lvs.ServiceKey, err error) error { return fmt.Errorf("%v: %w", k, err) }

func unreadable(err error) error {
	return huma.Error500InternalServerError("read the data plane: " + err.Error())
}

func (h handlers) wholeTable(context.Context, *struct{}) (*tagged[client.Table], error) {
	return h.showTable()
}

func (h handlers) showTable() (*tagged[client.Table], error) {
	snap := h.o.Director.Snapshot()
	return withTag(tagOf(snap), client.TableOf(slices.Collect(snap.Installed.Values()))), nil
}

// tagOf is the tag of the whole table.
func tagOf(s *lvs.Snapshot) string { return lvs.TagOf(slices.Collect(s.Installed.Values())) }

func (h handlers) replaceTable(ctx context.Context, q *struct{ Body client.Table }) (*tagged[client.Table], error) {
	table, errs := q.Body.Noun()
	if len(errs) > 0 {
		return nil, huma.Error422UnprocessableEntity("the table was not changed", errs...)
	}
	c := lvs.Change{Kind: lvs.ReplaceTable, Table: table, Match: match(ctx)}
	if err := h.make(ctx, c); err != nil {
		return nil, err
	}
	return h.showTable()
}

func (h handlers) changes(ctx context.Context, q *struct{ Body client.Changes }) (*body[[]client.Outcome], error) {
	out := make([]client.Outcome, len(q.Body.Changes))
	var good []lvs.Change
	var places []int
	for i, c := range q.Body.Changes {
		n, err := c.Noun()
		if err != nil {
			out[i] = client.OutcomeOf(err)
			continue
		}
		good, places = append(good, n), append(places, i)
	}
	call := guard.Of(ctx)
	if err := permitted(call, good); err != nil {
		return nil, err
	}
	errs, err := h.o.Director.Change(ctx, match(ctx), good)
	if len(good) == 0 {
		err = h.asSeen(ctx, nil) // the director had nothing to refuse
	}
	if err != nil {
		noteAll(call, good, err)
		return nil, problem(err)
	}
	for i, err := range errs {
		call.Note(good[i].String(), err)
		out[places[i]] = client.OutcomeOf(err)
	}
	return &body[[]client.Outcome]{out}, nil
}

// permitted refuses everything if one of the changes needs more than the
// caller may do.
func permitted(call *guard.Call, changes []lvs.Change) error {
	for _, c := range changes {
		if need := needs(c.Kind); call.Role < need {
			err := errors.New(call.Lacks(need))
			noteAll(call, changes, err)
			return forbidden(err)
		}
	}
	return nil
}

// needs is the role a change needs: orders can be taken back.
func needs(k lvs.ChangeKind) lvs.Role {
	if k == lvs.OrderWeight || k == lvs.RevokeOrder {
		return lvs.RoleOperate
	}
	return lvs.RoleAdmin
}

func noteAll(call *guard.Call, changes []lvs.Change, err error) {
	for _, c := range changes {
		call.Note(c.String(), err)
	}
}

func (h handlers) zero(ctx context.Context, q *struct {
	Service string `query:"service" doc:"only this one; none: everything"`
}) (*body[client.Zeroed], error) {
	var k *lvs.ServiceKey
	name := "all"
	if q.Service != "" {
		only, err := Named{Service: q.Service}.key()
		if err != nil {
			return nil, err
		}
		k, name = &only, only.String()
	}
	err := h.asSeen(ctx, k)
	if err == nil {
		err = h.o.Zero(ctx, k)
	}
	guard.Of(ctx).Note("count from zero: "+name, err)
	if errors.Is(err, lvs.ErrNoService) || errors.Is(err, lvs.ErrChanged) {
		return nil, problem(err)
	}
	if err != nil {
		return nil, unreadable(err)
	}
	return &body[client.Zeroed]{client.Zeroed{Zeroed: name}}, nil
}

func (h handlers) timeouts(context.Context, *struct{}) (*tagged[client.Timeouts], error) {
	t := h.o.Director.Snapshot().Timeouts
	return withTag(t.Tag(), client.TimeoutsOf(t)), nil
}

func (h handlers) setTimeouts(ctx context.Context, q *struct{ Body client.Timeouts }) (*tagged[client.Timeouts], error) {
	if err := h.make(ctx, lvs.Change{Kind: lvs.SetTimeouts, Timeouts: q.Body.Noun(), Match: match(ctx)}); err != nil {
		return nil, err
	}
	return h.timeouts(ctx, nil)
}

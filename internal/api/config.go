package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

func (h handlers) config(context.Context, *struct{}) (*tagged[client.Config], error) {
	c, tag := h.o.Config()
	return withTag(tag, client.Config{File: h.o.Director.Snapshot().Config, Text: string(config.Write(c)), Tag: tag, ByHand: h.hands()}), nil
}

// hands are the services that are not as the configuration has them, sorted.
func (h handlers) hands() []client.Hand {
	out := []client.Hand{}
	for k, hand := range h.o.Director.Snapshot().ByHand.All() {
		out = append(out, client.Hand{Service: k.String(), Hand: string(hand)})
	}
	slices.SortFunc(out, client.Hand.Compare)
	return out
}

func (h handlers) checkConfig(_ context.Context, q *struct{ Body client.ConfigText }) (*body[client.Checked], error) {
	cfg, problems := h.o.Read(q.Body.File, []byte(q.Body.Text), q.Body.Format)
	return &body[client.Checked]{checked(cfg, problems)}, nil
}

func checked(cfg config.Config, problems config.Problems) client.Checked {
	out := client.Checked{Good: problems.Err() == nil, Services: len(cfg.Services), Problems: []client.ConfigProblem{}}
	for _, p := range problems {
		out.Problems = append(out.Problems, client.ConfigProblem{File: p.Place.File, Line: p.Place.Line, Text: p.Text, Warning: p.Warning})
	}
	return out
}

func (h handlers) diffConfig(ctx context.Context, q *struct{ Body client.ConfigText }) (*body[client.Diff], error) {
	cfg, problems := h.o.Read(q.Body.File, []byte(q.Body.Text), q.Body.Format)
	if err := problems.Err(); err != nil {
		return nil, refusal("the configuration has problems", err)
	}
	steps, err := h.o.Director.Preview(ctx, cfg)
	if err != nil {
		return nil, problem(err)
	}
	return &body[client.Diff]{client.Diff{Steps: steps, ByHand: h.hands()}}, nil
}

func (h handlers) applyConfig(ctx context.Context, q *struct{ Body client.ConfigText }) (*tagged[client.Reloaded], error) {
	text := []byte(q.Body.Text)
	what := fmt.Sprintf("apply a configuration of %d bytes, sha256 %x", len(text), sha256.Sum256(text))
	return h.reloaded(ctx, what, func(ctx context.Context, m lvs.Match) (string, config.Problems, error) {
		return h.o.Apply(ctx, m, text)
	})
}

func (h handlers) rollback(ctx context.Context, _ *struct{}) (*tagged[client.Reloaded], error) {
	return h.reloaded(ctx, "go back to the configuration before", h.o.Rollback)
}

func (h handlers) history(context.Context, *struct{}) (*body[[]client.Version], error) {
	all, err := h.o.History()
	if err != nil {
		return nil, huma.Error500InternalServerError(err.Error())
	}
	return &body[[]client.Version]{append([]client.Version{}, all...)}, nil
}

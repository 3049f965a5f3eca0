package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/api/guard"
	"github.com/weir-lb/weir/internal/lvs"
)

func (h handlers) routers(a huma.API) {
	huma.Get(a, "/v1/routers", h.listRouters, says("routers", lvs.RoleRead, "The virtual routers this director takes part in"))
	huma.Post(a, "/v1/routers/{router}/handover", h.handOver, says("handover", lvs.RoleOperate, "Give the addresses of a virtual router to a peer"))
}

func (h handlers) listRouters(context.Context, *struct{}) (*body[[]client.Router], error) {
	out := []client.Router{}
	if h.o.Routers != nil {
		for _, r := range h.o.Routers() {
			out = append(out, toRouter(r))
		}
	}
	return &body[[]client.Router]{out}, nil
}

func toRouter(r lvs.RouterRole) client.Router {
	out := client.Router{Name: r.Router.Name, Interface: r.Router.Interface, ID: r.Router.ID, Version: r.Router.Version, Group: r.Router.Group,
		State: string(r.State), Since: r.Since, Why: r.Why, Priority: r.Priority, Active: r.Active,
		Sent: r.Counts.Sent, Heard: r.Counts.Heard, Refused: r.Counts.Refused, Takeovers: r.Counts.Takeovers}
	for _, a := range r.Router.Held() {
		out.Addresses = append(out.Addresses, a.String())
	}
	return out
}

type routerPath struct {
	Router string `path:"router" doc:"its name" maxLength:"64"`
}

func (h handlers) handOver(ctx context.Context, q *routerPath) (*struct{}, error) {
	if h.o.HandOver == nil {
		return nil, huma.Error409Conflict("no virtual router runs here")
	}
	err := h.o.HandOver(ctx, q.Router)
	guard.Of(ctx).Note("hand over virtual router "+q.Router, err)
	if err != nil {
		return nil, huma.Error409Conflict(err.Error())
	}
	return nil, nil
}

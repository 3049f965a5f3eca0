package api

import (
	"context"
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weir-lb/weir/internal/api/client"
	"github.com/weir-lb/weir/internal/api/guard"
	"github.com/weir-lb/weir/internal/lvs"
)

func (h handlers) routers(a huma.API) {
	huma.Get(a, routersTag, h.listRouters, says("routers", lvs.RoleRead, "The virtual routers this director takes part in"))
	huma.Post(a, routersTag+"/{router}/handover", h.handOver, says("handover", lvs.RoleOperate, "Give the addresses of a virtual router to a peer"), minds(routersTag))
}

// roles are those of the virtual routers, where there are any.
func (h handlers) roles() []lvs.RouterRole {
	if h.o.Routers == nil {
		return nil
	}
	return h.o.Routers()
}

func (h handlers) listRouters(context.Context, *struct{}) (*tagged[[]client.Router], error) {
	all, out := h.roles(), []client.Router{}
	for _, r := range all {
		out = append(out, toRouter(r))
	}
	return withTag(lvs.RolesTag(all), out), nil
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
	var err error
	switch m := match(ctx); {
	case m != nil && !m.Fits(lvs.RolesTag(h.roles()), true):
		err = problem(fmt.Errorf("the virtual routers: %w", lvs.ErrChanged))
	case h.o.HandOver == nil:
		err = huma.Error409Conflict("no virtual router runs here")
	default:
		if e := h.o.HandOver(ctx, q.Router); e != nil {
			err = huma.Error409Conflict(e.Error())
		}
	}
	guard.Of(ctx).Note("hand over virtual router "+q.Router, err)
	return nil, err
}

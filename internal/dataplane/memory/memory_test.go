package memory_test

import (
	"errors"
	"testing"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/dataplane/dataplanetest"
	"github.com/weir-lb/weir/internal/dataplane/memory"
	"github.com/weir-lb/weir/internal/lvs"
)

func TestConformance(t *testing.T) {
	dataplanetest.Run(t, func(*testing.T) dataplane.Dataplane { return memory.New() })
}

func TestFaultyRefuses(t *testing.T) {
	half := false
	inner := memory.New()
	f := memory.Faulty{Dataplane: inner, Refuse: func(verb string) bool { return verb == "put" }, Half: func() bool { return half }}
	s := lvs.Service{Key: lvs.ServiceKey{Mark: 1, Family: lvs.IPv4}}
	if err := f.Put(t.Context(), s); !errors.Is(err, memory.ErrRefused) || inner.Writes() != 0 {
		t.Errorf("refusal: %v after %d writes", err, inner.Writes())
	}
	half = true
	if err := f.Put(t.Context(), s); !errors.Is(err, memory.ErrRefused) || inner.Writes() != 1 {
		t.Errorf("half a refusal: %v after %d writes", err, inner.Writes())
	}
	if err := f.Drop(t.Context(), s.Key); err != nil {
		t.Errorf("drop: %v", err)
	}
}

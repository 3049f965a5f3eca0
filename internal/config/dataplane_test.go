package config_test

import (
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

// TestUnfit: a configuration that speaks of weir's engine is not taken for the
// kernel's when the command line says so, and each reason is told.
func TestUnfit(t *testing.T) {
	c := config.Default()
	c.Engine.Dataplane = config.IPVS
	if ps := config.Unfit(c); len(ps) > 0 {
		t.Errorf("what is as by default is refused: %v", ps)
	}
	c.Marks = []lvs.Rule{{Mark: 1}}
	c.Engine.Mode, c.Engine.Interfaces, c.Engine.Connections, c.Engine.Connections6, c.Engine.HalfOpen, c.Engine.Wide = config.ModeXDP, []string{"eth0"}, 2048, 2048, 2048, 2048
	ps := config.Unfit(c)
	for _, key := range []string{"marks", "mode", "interfaces", "connections", "connections_ipv6", "half_open", "wide"} {
		if !strings.Contains(ps.Error(), key+": not with dataplane: ipvs") {
			t.Errorf("%s is taken", key)
		}
	}
	c.Engine.Dataplane = config.EBPF
	if ps := config.Unfit(c); len(ps) > 0 {
		t.Errorf("with ebpf: %v", ps)
	}
}

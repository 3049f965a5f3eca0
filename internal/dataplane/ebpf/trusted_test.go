package ebpf

import (
	"testing"

	"github.com/weir-lb/weir/internal/lvs"
)

// A veth is sent to from XDP if the kernel says that it takes such frames, or
// cannot say, and XDP is forced.
func TestTrustedLinks(t *testing.T) {
	for _, tt := range []struct {
		mode Mode
		link lvs.Link
		want bool
	}{
		{XDP, lvs.Link{Kind: "veth", XDPUntold: true}, true},
		{XDP, lvs.Link{Kind: "veth"}, false},
		{XDP, lvs.Link{Kind: "bridge", XDPUntold: true}, false},
		{TC, lvs.Link{Kind: "veth", XDPUntold: true}, false},
		{Auto, lvs.Link{Kind: "veth", XDPUntold: true}, false},
		{XDP, lvs.Link{XDPSend: true}, true},
	} {
		p := &Plane{opts: Options{Mode: tt.mode}, log: testLog(t)}
		if got := p.trusted([]lvs.Link{tt.link})[0].XDPSend; got != tt.want {
			t.Errorf("mode %s, %+v: sends %v, want %v", tt.mode, tt.link, got, tt.want)
		}
	}
}

package client

import "testing"

func TestSocketPath(t *testing.T) {
	for _, tt := range []struct{ self, first, want string }{
		{"", "", "/run/weir/weir.sock"},
		{"net:[42]", "", "/run/weir/netns-42/weir.sock"},
		{"net:[42]", "net:[7]", "/run/weir/netns-42/weir.sock"},
		{"net:[7]", "net:[7]", "/run/weir/weir.sock"},
	} {
		if got := socketPath(tt.self, tt.first); got != tt.want {
			t.Errorf("socketPath(%q, %q) = %s, want %s", tt.self, tt.first, got, tt.want)
		}
	}
}

package cli

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
)

// SystemHostName asks the resolver for the names of addresses, each once and
// for a bounded time.
func SystemHostName(ctx context.Context) func(netip.Addr) string {
	known := map[netip.Addr]string{}
	return func(a netip.Addr) string {
		name, ok := known[a]
		if !ok {
			ctx, cancel := context.WithTimeout(ctx, nameTimeout)
			defer cancel()
			if all, err := net.DefaultResolver.LookupAddr(ctx, a.String()); err == nil && len(all) > 0 {
				name = strings.TrimSuffix(all[0], ".")
			}
			known[a] = name
		}
		return name
	}
}

// servicesFile says what ports are called; services(5).
const servicesFile = "/etc/services"

// SystemPortName reads the names of ports when the first is asked for.
func SystemPortName() func(port uint16, protocol string) string {
	read := sync.OnceValue(func() map[string]string {
		f, err := os.Open(servicesFile)
		if err != nil {
			return nil // then ports have no names
		}
		defer f.Close()
		names := map[string]string{}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			text, _, _ := strings.Cut(lines.Text(), "#")
			if words := strings.Fields(text); len(words) >= 2 && names[words[1]] == "" {
				names[words[1]] = words[0]
			}
		}
		return names
	})
	return func(port uint16, protocol string) string {
		return read()[fmt.Sprintf("%s/%s", strconv.Itoa(int(port)), protocol)]
	}
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect"
	"github.com/weir-lb/weir/internal/lvs"
)

// nameTimeout is how long one name may take to be found.
const nameTimeout = 5 * time.Second

// ReadFile reads a configuration file, or a pipe, of bounded size.
func ReadFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w; name it with -c FILE", bare(err, file))
	}
	if m := info.Mode(); !m.IsRegular() && m&fs.ModeNamedPipe == 0 {
		return nil, fmt.Errorf("read the configuration: %s is neither a file nor a pipe", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", bare(err, file))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, config.MaxText+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", bare(err, file))
	}
	if len(text) > config.MaxText {
		return nil, fmt.Errorf("read the configuration: %s is larger than %d MiB", file, config.MaxText>>20)
	}
	return text, nil
}

// bare is "FILE: why" without the name of the system call.
func bare(err error, file string) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", file, p.Err)
	}
	return err
}

// SystemNames asks the resolver and /etc/services, each question for a
// bounded time.
func SystemNames(ctx context.Context) dialect.Names {
	return dialect.Names{
		Host: func(name string, family lvs.Family) (netip.Addr, error) {
			ctx, cancel := context.WithTimeout(ctx, nameTimeout)
			defer cancel()
			all, err := net.DefaultResolver.LookupNetIP(ctx, fmt.Sprintf("ip%d", family), name)
			if err != nil {
				return netip.Addr{}, short(err)
			}
			if len(all) == 0 {
				return netip.Addr{}, errors.New("not found")
			}
			return all[0].Unmap(), nil
		},
		Port: func(name, protocol string) (uint16, error) {
			ctx, cancel := context.WithTimeout(ctx, nameTimeout)
			defer cancel()
			n, err := net.DefaultResolver.LookupPort(ctx, protocol, name)
			return uint16(n), short(err)
		},
	}
}

// short leaves out what the message around the error says already.
func short(err error) error {
	var d *net.DNSError
	if errors.As(err, &d) {
		return errors.New(d.Err)
	}
	return err
}

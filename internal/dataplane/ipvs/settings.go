package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/dataplane"
	"github.com/weir-lb/weir/internal/lvs"
)

// timeoutsSetting is what the record calls the timeouts, which are no file.
const timeoutsSetting = "timeouts"

// Tune implements dataplane.Dataplane. What it changes in the kernel is
// remembered, to be put back by Remove.
func (p *Plane) Tune(ctx context.Context, t lvs.Tuning) error {
	if len(t.Rules) > 0 {
		return fmt.Errorf("%d rules give marks; give packets theirs with nftables, before the kernel's IPVS sees them: %w",
			len(t.Rules), dataplane.ErrUnsupported)
	}
	errs := []error{p.tuneTimeouts(ctx, t.Timeouts)}
	for _, s := range lvs.AllSysctls() {
		errs = append(errs, p.tuneSetting(s, t.Sysctls[s]))
	}
	p.mu.Lock()
	p.tuning = &t
	p.mu.Unlock()
	return errors.Join(errs...)
}

// Astray implements dataplane.Sharer. A setting the kernel moves by itself, as
// it does between 1 and 2 in the defences, is as it was set.
func (p *Plane) Astray(ctx context.Context) (out []string, err error) {
	p.mu.Lock()
	t := p.tuning
	p.mu.Unlock()
	if t == nil {
		return nil, nil
	}
	have, err := p.kernel.timeouts(ctx)
	if err != nil {
		return nil, err
	}
	if want := t.Timeouts.Over(have); want != have {
		out = append(out, fmt.Sprintf("--set %s, found %s", timeoutsText(want), timeoutsText(have)))
	}
	for _, s := range lvs.AllSysctls() {
		have, err := p.space.read(s.Info().Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return out, err
		}
		if want := t.Sysctls[s]; !sameSetting(s, have, strconv.Itoa(want)) {
			out = append(out, fmt.Sprintf("net.ipv4.vs.%s = %d, found %s", s.Info().Name, want, have))
		}
	}
	return out, nil
}

func sameSetting(s lvs.Sysctl, a, b string) bool {
	switch s {
	case lvs.DropEntry, lvs.DropPacket, lvs.SecureTCP:
		automatic := func(v string) bool { return v == "1" || v == "2" }
		return a == b || automatic(a) && automatic(b)
	}
	return a == b
}

func (p *Plane) tuneTimeouts(ctx context.Context, want lvs.Timeouts) error {
	have, err := p.kernel.timeouts(ctx)
	if err != nil {
		return err
	}
	if want = want.Over(have); want == have {
		return nil
	}
	if err := p.record.set(timeoutsSetting, timeoutsText(have)); err != nil {
		return err
	}
	p.writes.Add(1)
	p.log.Info("timeouts changed", "from", timeoutsText(have), "to", timeoutsText(want))
	return p.kernel.setTimeouts(ctx, want)
}

// timeoutsText are timeouts as ipvsadm --set takes them.
func timeoutsText(t lvs.Timeouts) string {
	return fmt.Sprintf("%d %d %d", t.TCP/time.Second, t.TCPFin/time.Second, t.UDP/time.Second)
}

func parseTimeouts(text string) (t lvs.Timeouts, err error) {
	f := strings.Fields(text)
	to := []*time.Duration{&t.TCP, &t.TCPFin, &t.UDP}
	if len(f) != len(to) {
		return t, fmt.Errorf("timeouts %q: want three", text)
	}
	for i, d := range to {
		n, err := strconv.ParseUint(f[i], 10, 31)
		if err != nil {
			return t, fmt.Errorf("timeouts %q: %w", text, err)
		}
		*d = time.Duration(n) * time.Second
	}
	return t, nil
}

// tuneSetting brings one setting to what is wished.
func (p *Plane) tuneSetting(s lvs.Sysctl, want int) error {
	info := s.Info()
	have, err := p.space.read(info.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return p.absent(s, want)
	}
	if err != nil || sameSetting(s, have, strconv.Itoa(want)) {
		return err
	}
	if err := p.record.set(info.Name, have); err != nil {
		return err
	}
	p.writes.Add(1)
	p.log.Info("setting changed", "setting", "net.ipv4.vs."+info.Name, "from", have, "to", want)
	return p.space.write(info.Name, strconv.Itoa(want))
}

// absent is a setting this kernel does not have, now: those of lblc and lblcr
// come with the scheduler's module, that is with the first service that uses it.
func (p *Plane) absent(s lvs.Sysctl, want int) error {
	if want == s.Info().Default {
		return nil
	}
	if s == lvs.LblcExpiration || s == lvs.LblcrExpiration {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.pending[s] = want
		return nil
	}
	return fmt.Errorf("this kernel has no setting net.ipv4.vs.%s: %w", s.Info().Name, dataplane.ErrUnsupported)
}

// afterPut sets what had to wait for the service's scheduler.
func (p *Plane) afterPut(_ context.Context, s lvs.Service) error {
	if s.Scheduler != lvs.LBLC && s.Scheduler != lvs.LBLCR {
		return nil
	}
	p.mu.Lock()
	waiting := p.pending
	p.pending = map[lvs.Sysctl]int{}
	p.mu.Unlock()
	var errs []error
	for setting, want := range waiting {
		errs = append(errs, p.tuneSetting(setting, want))
	}
	return errors.Join(errs...)
}

// keepConnections sees to it that a destination that is taken out only to be
// put back in another place keeps its connections: with expire_nodest_conn the
// kernel would forget them. It returns how to end that.
func (p *Plane) keepConnections() (end func(), err error) {
	name := lvs.ExpireNodestConn.Info().Name
	have, err := p.space.read(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && have == "0" {
		return func() {}, nil
	}
	if err == nil {
		err = p.space.write(name, "0")
	}
	return func() {
		if err := p.space.write(name, have); err != nil {
			p.log.Error("setting not put back", "setting", "net.ipv4.vs."+name, "to", have, "error", err)
		}
	}, err
}

// putBack makes the settings what they were before weir changed them.
func (p *Plane) putBack(ctx context.Context) error {
	var errs []error
	for name, value := range p.record.settings() {
		var err error
		switch role, isSync := strings.CutPrefix(name, syncSetting); {
		case isSync:
			if err = p.kernel.stopSync(ctx, lvs.SyncRole(role)); errors.Is(err, lvs.ErrNoDaemon) {
				err = nil // somebody was quicker
			}
		case name == timeoutsSetting:
			var t lvs.Timeouts
			if t, err = parseTimeouts(value); err == nil {
				err = p.kernel.setTimeouts(ctx, t)
			}
		default:
			err = p.space.write(name, value)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // gone with its module
		}
		if err == nil {
			err = p.record.unset(name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// settingPath is where the kernel keeps a setting. The name comes from weir's
// own table or its record, and never leads elsewhere.
func settingPath(name string) (string, error) {
	if name == "" || strings.ContainsAny(name, "/.") {
		return "", fmt.Errorf("%q is no setting of net.ipv4.vs", name)
	}
	return "/proc/sys/net/ipv4/vs/" + name, nil
}

func (s *space) read(name string) (text string, err error) {
	path, err := settingPath(name)
	if err != nil {
		return "", err
	}
	err = s.in(func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, 256))
		text = strings.TrimSpace(string(b))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read net.ipv4.vs.%s: %w", name, err)
	}
	return text, nil
}

func (s *space) write(name, value string) error {
	path, err := settingPath(name)
	if err != nil {
		return err
	}
	if err := s.in(func() error { return setFile(path, value) }); err != nil {
		return fmt.Errorf("set net.ipv4.vs.%s to %s: %w", name, value, err)
	}
	return nil
}

// setFile writes into a file that is there; it makes none.
func setFile(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

package state

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
	"github.com/weir-lb/weir/internal/plan"
)

var since = time.Unix(1700000000, 0)

func service(t *testing.T, key, real string) config.Service {
	text := "services:\n  - listen: " + key + "\n    persistence: 5m\n    fallback: 127.0.0.1:80\n    check: http\n    destinations: [\"" + real + "\"]\n"
	c, ps := config.Parse("f", []byte(text))
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	return c.Services[0]
}

func memory(t *testing.T) plan.Memory {
	m := plan.NewMemory()
	file := config.Default()
	file.Services = []config.Service{service(t, "tcp 192.0.2.1:80", "10.0.0.1:80"), service(t, "tcp 192.0.2.2:80", "10.0.0.1:80")}
	m.Take(plan.Note{File: &file})
	changed, added := service(t, "tcp 192.0.2.1:80", "10.0.0.2:80"), service(t, "tcp 192.0.2.3:80", "10.0.0.3:80")
	gone := file.Services[1].Key
	m.Take(plan.Note{Service: &changed})
	m.Take(plan.Note{Service: &added})
	m.Take(plan.Note{Gone: &gone})
	m.Take(plan.Note{Order: &lvs.Order{Service: added.Key, Destination: added.Reals[0].Addr, Weight: 7, Since: since.UTC()}})
	m.Take(plan.Note{Timeouts: &lvs.Timeouts{TCP: time.Hour, TCPFin: time.Minute, UDP: time.Second}})
	return m
}

func read(t *testing.T, path string) *plan.Memory {
	t.Helper()
	m, err := New(path, since).Read()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "state")
	if m := read(t, path); m != nil {
		t.Errorf("something from nothing: %+v", m)
	}
	j, m := New(path, since), memory(t)
	if err := j.Begin(m.Notes()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); !reflect.DeepEqual(*got, m) {
		t.Errorf("read  %+v\nwrote %+v", *got, m)
	}
	more := []plan.Note{{Revoked: &lvs.Order{Service: lvs.ServiceKey{Protocol: lvs.TCP, Addr: m.File.Services[0].Key.Addr}}}, {Cleared: true}}
	if long, err := j.Add(more); long || err != nil {
		t.Errorf("add: %v, %v", long, err)
	}
	if got := read(t, path); len(got.Wish) != 0 || len(got.Orders) != 0 || len(got.File.Services) != 2 {
		t.Errorf("after a clear %+v", got)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestALongJournalIsBegunAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	j, m := New(path, since), memory(t)
	if long, err := j.Add(nil); !long || err != nil {
		t.Errorf("before it was begun: %v, %v", long, err)
	}
	if err := j.Begin(m.Notes()); err != nil {
		t.Fatal(err)
	}
	s := m.Wish[m.File.Services[0].Key]
	n := 0
	for long := false; !long; n++ {
		var err error
		if long, err = j.Add([]plan.Note{{Service: &s}}); err != nil {
			t.Fatal(err)
		}
	}
	if n < 100 {
		t.Errorf("long after %d notes", n)
	}
	if err := j.Begin(m.Notes()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 20000 {
		t.Errorf("begun anew with %d bytes, %v", info.Size(), err)
	}
}

func TestOtherFilesAreNotBelieved(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	j := New(path, since)
	if err := j.Begin(memory(t).Notes()); err != nil {
		t.Fatal(err)
	}
	if m, err := New(path, since.Add(time.Second)).Read(); m != nil || err != nil {
		t.Errorf("of another table: %+v, %v", m, err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "half")
	whole := read(t, path)
	for _, tt := range []struct{ name, text, want string }{
		{"cut off in the last line", string(good) + `{"gone":"-t 192.0`, ""},
		{"nonsense in the middle", string(good) + "{]\n", "half:"},
		{"another version", strings.Replace(string(good), `"weir_state":2`, `"weir_state":3`, 1), "not a file of this version"},
		{"empty", "", "not a file of this version"},
	} {
		if err := os.WriteFile(half, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := New(half, since).Read()
		switch {
		case tt.want == "" && (err != nil || !reflect.DeepEqual(m, whole)):
			t.Errorf("%s: %+v, %v", tt.name, m, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestTheVersionBefore: the configuration stood in one line once.
func TestTheVersionBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	j, m := New(path, since), memory(t)
	notes := []plan.Note{{File: &m.File}}
	for _, n := range m.Notes() {
		if n.File == nil && n.Says == nil {
			notes = append(notes, n)
		}
	}
	if err := j.Begin(notes); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(text), `"weir_state":2`, `"weir_state":1`, 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); !reflect.DeepEqual(*got, m) {
		t.Errorf("read  %+v\nwrote %+v", *got, m)
	}
}

func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	for range 2 {
		if err := Remove(path); err != nil {
			t.Error(err)
		}
	}
}

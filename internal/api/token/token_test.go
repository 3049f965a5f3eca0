package token

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

func TestATokenIsFoundAndItsFileDoesNotTellIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etc", "tokens")
	secrets := map[string]string{}
	for name, role := range map[string]lvs.Role{"graph": lvs.RoleRead, "ops@x": lvs.RoleOperate, "root.1": lvs.RoleAdmin} {
		secret, e, err := New(name, role, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := Add(path, e); err != nil {
			t.Fatal(err)
		}
		secrets[name] = secret
	}
	all, err := Read(path)
	if err != nil || len(all) != 3 {
		t.Fatalf("%v, %v", all, err)
	}
	text, _ := os.ReadFile(path)
	for name, secret := range secrets {
		e, ok := Find(all, secret)
		if !ok || e.Name != name {
			t.Errorf("%s: found %v %v", name, e.Name, ok)
		}
		if strings.Contains(string(text), strings.TrimPrefix(secret, prefix)) {
			t.Errorf("%s is in the file", name)
		}
		for _, bad := range []string{"", secret[:len(secret)-1], secret + "x", strings.ToUpper(secret), strings.TrimPrefix(secret, prefix)} {
			if _, ok := Find(all, bad); ok {
				t.Errorf("%q is let in", bad)
			}
		}
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := Remove(path, "ops@x"); err != nil {
		t.Error(err)
	}
	if all, _ = Read(path); len(all) != 2 {
		t.Errorf("%d are left", len(all))
	}
	if _, ok := Find(all, secrets["ops@x"]); ok {
		t.Error("a removed token is let in")
	}
	for _, err := range []error{Remove(path, "ops@x"), Add(path, all[0])} {
		if err == nil {
			t.Error("taken")
		}
	}
}

func TestManyAtOnceAreAllThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			_, e, err := New("n"+string(rune('a'+i)), lvs.RoleRead, time.Now())
			if err == nil {
				err = Add(path, e)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if es, err := Read(path); err != nil || len(es) != 20 {
		t.Errorf("%d, %v", len(es), err)
	}
}

func TestAFileOthersMayWriteIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o620); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "chmod 0600") {
		t.Errorf("%v", err)
	}
}

func TestEveryBrokenLineIsTold(t *testing.T) {
	_, e, _ := New("a", lvs.RoleRead, time.Now())
	good := e.String()
	_, err := Parse("f", "# x\n\n"+good+"\n"+good+"\nb root x y\nc read sha256$AA$BB now\n"+strings.Replace(good, "a read", "ä read", 1)+"\nx\n")
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"f:4: a is there already, in line 3", "f:5: there is no role \"root\"", "f:6: the hash", "f:7: \"ä\" cannot", "f:8: want name"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	_, e, _ := New("a", lvs.RoleRead, time.Unix(1e9, 0))
	f.Add(e.String())
	f.Add("a read sha256$$ x")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := Parse("f", text)
		if err != nil {
			return
		}
		again, err := Parse("f", Text(all))
		if err != nil || len(again) != len(all) {
			t.Errorf("%q: %v, %d and %d", text, err, len(all), len(again))
		}
	})
}

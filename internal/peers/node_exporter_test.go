package peers

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/lab/labtest"
)

// TestNodeExporter lets Debian's prometheus-node-exporter read the proc files
// of a running weir: its ipvs collector finds the table, and the files go when
// they are no longer asked for.
func TestNodeExporter(t *testing.T) {
	const exporter = "prometheus-node-exporter"
	labtest.NeedRoot(t)
	_, err := exec.LookPath(exporter)
	labtest.Need(t, err)
	s := newSite(t)
	proc := filepath.Join(s.dir, "proc")
	config := "engine:\n  connections: 4096\n  half_open: 1024\nservices: []\n"
	s.write("weir.yaml", config+"proc_files: {directory: "+proc+"/net, interval: 1s}\n")
	weir := func(args ...string) string {
		out, err := s.Director.Command(t.Context(), filepath.Join(s.dir, "weir"), args...).CombinedOutput()
		if err != nil {
			t.Errorf("weir %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	weir("reload")
	for _, line := range []string{"-A -t 192.0.2.1:80 -s wlc", "-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 7", "-A -u [2001:db8::1]:53", "-A -f 9",
		"-a -u [2001:db8::1]:53 -r [2001:db8::2]:53 -g", "-a -f 9 -r 10.0.0.3 -g -w 5"} {
		if out, err := s.ipvsadm(strings.Fields(line)...); err != nil {
			t.Fatalf("%s: %v %s", line, err, out)
		}
	}
	s.run(exporter, s.Director.Command(t.Context(), exporter, "--collector.disable-defaults", "--collector.ipvs", "--path.procfs="+proc,
		"--web.listen-address=127.0.0.1:9100"))
	metrics := ""
	s.until("the exporter shows the table", func() bool {
		out, err := s.Director.Command(t.Context(), "curl", "-sf", "http://127.0.0.1:9100/metrics").Output()
		metrics = string(out)
		return err == nil && strings.Contains(metrics, `remote_address="10.0.0.3"`)
	})
	for _, want := range []string{
		`node_ipvs_backend_weight{local_address="192.0.2.1",local_mark="",local_port="80",proto="TCP",remote_address="10.0.0.1",remote_port="80"} 7`,
		`node_ipvs_backend_weight{local_address="2001:db8::1",local_mark="",local_port="53",proto="UDP",remote_address="2001:db8::2",remote_port="53"} 1`,
		`local_mark="00000009"`, `node_ipvs_connections_total 0`, `node_scrape_collector_success{collector="ipvs"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
	s.write("weir.yaml", config)
	weir("reload")
	if _, err := os.Stat(proc); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the files are there without being asked for: %v", err)
	}
	s.write("weir.yaml", config+"proc_files: "+proc+"\n")
	weir("reload")
	s.until("files", func() bool { _, err := os.Stat(proc + "/ip_vs"); return err == nil })
	weir("down")
	if _, err := os.Stat(proc); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("weir down leaves the files: %v", err)
	}
}

package all

import (
	"strings"
	"testing"

	"github.com/weir-lb/weir/internal/dialect"
)

func TestRecognise(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", Weir},
		{"only comments", "# a\n\n  # b\n", Weir},
		{"binary", "\x00\xff\x00", Weir},
		{"prose", "hello world\n", Weir},
		{"yaml", "# weir\nservices:\n  - listen: tcp 192.0.2.1:80\n", Weir},
		{"yaml with an equals sign in it", "log_file: a=b\n", Weir},
		{"yaml flow", "{services: []}\n", Weir},
		{"yaml document", "---\nengine: {mode: tc}\n", Weir},
		{"ldirectord", "# c\nchecktimeout=3\nvirtual=192.0.2.1:80\n\treal=1.2.3.4:80 gate\n", Ldirectord},
		{"ldirectord with blanks", "checktimeout = 3\r\nvirtual = 192.0.2.1:80\r\n", Ldirectord},
		{"ldirectord indented", "\n   virtual6 = [2001:db8::1]:80\n", Ldirectord},
		{"ldirectord supervised", "supervised\nvirtual=1.2.3.4:80\n", Ldirectord},
		{"ldirectord mistyped", "sheduler=3\n", Ldirectord},
		{"keepalived", "! Configuration File\nglobal_defs {\n   router_id X\n}\n", "keepalived"},
		{"keepalived servers", "virtual_server 192.0.2.1 80 {\n    delay_loop 6\n", "keepalived"},
		{"keepalived brace on its own line", "vrrp_instance VI_1\n{\n", "keepalived"},
		{"piranha", "serial_no = 14\nprimary = 10.0.0.1\nservice = lvs\n", "lvs"},
		{"piranha from its block", "virtual web {\n     active = 1\n", "lvs"},
		{"haproxy", "global\n    daemon\ndefaults\n    mode http\n", "haproxy"},
		{"haproxy listen", "listen web 192.0.2.1:80\n   balance roundrobin\n", "haproxy"},
		{"saved rules", "-A -t 192.0.2.1:80 -s wlc\n-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 1\n", Ipvsadm},
		{"a script", "ipvsadm -A -t 192.0.2.1:80 -s rr\n", Ipvsadm},
		{"a listing", "IP Virtual Server version 1.2.1 (size=4096)\n", "listing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if have := recognise([]byte(c.text)); have != c.want {
				t.Errorf("want %q, have %q", c.want, have)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ name, format, text, want string }{
		{"unknown format", "toml", "", `f: unknown format "toml"; use weir, ldirectord or ipvsadm`},
		{"keepalived", "", "vrrp_instance A {\n", "f: this is a keepalived.conf, which this version does not read yet"},
		{"asked for", "haproxy", "services: []\n", "f: this is a haproxy.cfg"},
		{"the wrong reader", Weir, "virtual=192.0.2.1:80\n", "f:1: weir.yaml: want keys and values"},
		{"the other wrong reader", Ldirectord, "services: []\n", "f:1: not a directive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := Read("f", []byte(c.text), c.format, dialect.Names{})
			if err := problems.Err(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("want %s…\nhave %v", c.want, err)
			}
		})
	}
}

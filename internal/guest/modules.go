package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// modules are loaded, with what they need, before the script runs: nothing in
// the guest loads a module on demand.
var modules = []string{
	"ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_lc", "ip_vs_wlc", "ip_vs_sh", "ip_vs_dh", "ip_vs_mh", "ip_vs_sed",
	"ip_vs_nq", "ip_vs_lblc", "ip_vs_lblcr", "ip_vs_fo", "ip_vs_ovf", "ip_vs_ftp", "ip_vs_pe_sip",
	"veth", "dummy", "bridge", "8021q", "ipip", "ip6_tunnel", "sit", "ip_gre", "ip6_gre", "fou", "fou6",
	"sch_ingress", "cls_bpf", "cls_flower", "act_skbedit", "sctp", "nf_conntrack", "nf_tables", "nft_ct", "nft_nat", "nft_chain_nat",
	"xt_mark", "nft_compat", "xfrm_user", "tun",
}

// wanted lists the modules' files under the kernel's module directory, each
// after those it needs. A name the kernel does not have is built in or not
// there at all; the script finds out.
func wanted(k Kernel) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(k.Modules, "modules.dep"))
	if err != nil {
		return nil, err
	}
	needs, byName := make(map[string][]string), make(map[string]string)
	for line := range strings.Lines(string(text)) {
		file, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			return nil, fmt.Errorf("modules.dep: cannot read %q", line)
		}
		needs[file] = strings.Fields(rest)
		name, _, _ := strings.Cut(filepath.Base(file), ".")
		byName[strings.ReplaceAll(name, "-", "_")] = file
	}
	var order []string
	var add func(file string)
	add = func(file string) {
		if slices.Contains(order, file) {
			return
		}
		for _, n := range slices.Backward(needs[file]) {
			add(n)
		}
		order = append(order, file)
	}
	// libcrc32c asks the crypto layer for its algorithm by name, so modules.dep
	// does not know that it needs it.
	for _, name := range append([]string{"crc32c_generic"}, modules...) {
		if file := byName[name]; file != "" {
			add(file)
		}
	}
	return order, nil
}

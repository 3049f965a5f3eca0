package ipvsadm

import _ "embed"

// VersionText is the answer to -v. Scripts look at the number: it is that of
// the ipvsadm weir answers like.
const VersionText = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n"

//go:embed help.txt
var helpText string

// HelpText is the answer to -h.
func HelpText() string { return VersionText + helpText }

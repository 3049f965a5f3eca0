package lvs

import "fmt"

// A Scheduler chooses the destination of a new connection. Names are exactly
// ipvsadm's.
type Scheduler string

// The schedulers of the kernel's IPVS.
const (
	RR    Scheduler = "rr"
	WRR   Scheduler = "wrr"
	LC    Scheduler = "lc"
	WLC   Scheduler = "wlc"
	LBLC  Scheduler = "lblc"
	LBLCR Scheduler = "lblcr"
	DH    Scheduler = "dh"
	SH    Scheduler = "sh"
	SED   Scheduler = "sed"
	NQ    Scheduler = "nq"
	FO    Scheduler = "fo"
	OVF   Scheduler = "ovf"
	MH    Scheduler = "mh"
	TWOS  Scheduler = "twos"
)

// Schedulers lists every scheduler IPVS knows, in the order of its manual.
var Schedulers = []Scheduler{RR, WRR, LC, WLC, LBLC, LBLCR, DH, SH, SED, NQ, FO, OVF, MH, TWOS}

// ParseScheduler reads a scheduler's name.
func ParseScheduler(s string) (Scheduler, error) {
	for _, k := range Schedulers {
		if string(k) == s {
			return k, nil
		}
	}
	return "", fmt.Errorf("unknown scheduler %q; one of rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh twos", s)
}

// None is the scheduler of a service that chooses nobody, as the kernel's IPVS
// takes it from ipvsadm. No configuration asks for it.
const None Scheduler = "none"

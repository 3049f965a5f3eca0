package lvs

import "fmt"

// ParseFlag reads one flag of a scheduler, as ipvsadm -b names it. The names
// with sh- and mh- belong to those schedulers; flag-1 to flag-3 to any.
func ParseFlag(word string, of Scheduler) (uint8, error) {
	switch word {
	case "flag-1":
		return 1, nil
	case "flag-2":
		return 2, nil
	case "flag-3":
		return 4, nil
	case "sh-fallback", "mh-fallback":
		if string(of)+"-fallback" == word {
			return 1, nil
		}
	case "sh-port", "mh-port":
		if string(of)+"-port" == word {
			return 2, nil
		}
	default:
		return 0, fmt.Errorf("unknown scheduler flag %q; one of sh-fallback sh-port mh-fallback mh-port flag-1 flag-2 flag-3", word)
	}
	return 0, fmt.Errorf("flag %s belongs to scheduler %.2s, not to %s", word, word, of)
}

// FlagNames are the flags as ParseFlag reads them.
func FlagNames(bits uint8, of Scheduler) []string {
	names := []string{"flag-1", "flag-2", "flag-3"}
	if of == SH || of == MH {
		names = []string{string(of) + "-fallback", string(of) + "-port", "flag-3"}
	}
	var out []string
	for i, name := range names {
		if bits&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

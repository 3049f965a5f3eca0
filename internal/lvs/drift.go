package lvs

import "slices"

// A DriftKind says in which way a table is not as weir wants it.
type DriftKind string

// The kinds of drift.
const (
	DriftForeign DriftKind = "foreign" // a service stands that weir does not want
	DriftMissing DriftKind = "missing" // a service weir wants does not stand
	DriftChanged DriftKind = "changed" // it stands otherwise
	DriftSetting DriftKind = "setting" // a timeout or setting is not as weir set it
)

// Help says what the lines of such a drift are.
func (k DriftKind) Help() string {
	switch k {
	case DriftForeign:
		return "somebody else's service"
	case DriftMissing:
		return "it is gone; to put it back"
	case DriftSetting:
		return "not as weir set it"
	}
	return "to put it right"
}

// A Drift is one way in which a table that others change, too, is not as weir
// wants it.
type Drift struct {
	Service ServiceKey // zero: it is about a setting
	Kind    DriftKind
	// Lines are ipvsadm's that would put it right; of somebody else's service,
	// those that made it; of a setting, what it is and should be.
	Lines []string
}

// Equal tells whether d and o are the same in every word.
func (d Drift) Equal(o Drift) bool { return d.Same(o) && slices.Equal(d.Lines, o.Lines) }

// Same tells whether d and o are about the same thing.
func (d Drift) Same(o Drift) bool {
	return d.Service == o.Service && (d.Kind != DriftSetting || slices.Equal(d.Lines, o.Lines))
}

// Name is what d is about.
func (d Drift) Name() string {
	if d.Kind == DriftSetting {
		return ""
	}
	return d.Service.String()
}

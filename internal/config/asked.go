package config

import (
	"encoding/json"
	"unique"

	"github.com/weir-lb/weir/internal/lvs"
)

// A Check is how a real server is asked. Thousands are asked alike, so each way
// is kept once: it is as large as all else that is known of a real server.
type Check struct{ kept unique.Handle[lvs.Check] }

// CheckOf keeps c.
func CheckOf(c lvs.Check) Check { return Check{unique.Make(c)} }

// Value is how it was given to CheckOf.
func (c Check) Value() lvs.Check {
	if c == (Check{}) {
		return lvs.Check{}
	}
	return c.kept.Value()
}

// MarshalJSON writes what is kept.
func (c Check) MarshalJSON() ([]byte, error) { return json.Marshal(c.Value()) }

// UnmarshalJSON keeps what is read.
func (c *Check) UnmarshalJSON(text []byte) error {
	var v lvs.Check
	err := json.Unmarshal(text, &v)
	*c = CheckOf(v)
	return err
}

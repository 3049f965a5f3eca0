package realserver

// A Report is what a command found and did.
type Report struct {
	Wish         *Wish         `json:"wish,omitempty"` // nil: nothing was ever asked for
	Requirements []Requirement `json:"requirements,omitempty"`
	Done         []Change      `json:"done,omitempty"`
	Undone       []Change      `json:"undone,omitempty"`
	// Kept were changed again by somebody else, who keeps them.
	Kept []Change `json:"kept,omitempty"`
	// Changes are all that weir has done to the host and not undone.
	Changes []Change `json:"changes,omitempty"`
	Fates   []Fate   `json:"fates,omitempty"`
}

// A Fate is what became of packets that looked like a tunnel of ours.
type Fate struct {
	Name    string `json:"name"`
	Fate    string `json:"fate"` // unwrapped, left alone or dropped
	Packets uint64 `json:"packets"`
	Help    string `json:"help"`
}

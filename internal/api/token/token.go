// Package token keeps the tokens of the API: it makes them, and reads and
// writes the file that has a name, a role and a salted hash for each.
//
// A token itself is in no file of weir's and in no log: who makes one is shown
// it once.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weir-lb/weir/internal/lvs"
)

const (
	prefix    = "weir_" // by which those who look for leaked secrets know it
	secretLen = 32
	saltLen   = 16
	// MaxNameLen bounds a name.
	MaxNameLen = 64
	// MaxTokens bounds a file, and with it what it costs to look at one token.
	MaxTokens = 1000
)

// An Entry is what is known of a token.
type Entry struct {
	Name  string
	Role  lvs.Role
	Since time.Time
	salt  [saltLen]byte
	hash  [sha256.Size]byte
}

// New makes a token and its entry.
func New(name string, role lvs.Role, now time.Time) (secret string, e Entry, err error) {
	if err := ValidName(name); err != nil {
		return "", e, err
	}
	var random [secretLen]byte
	// The kernel's random numbers; since Go 1.24 these two never fail.
	_, _ = rand.Read(random[:])
	e = Entry{Name: name, Role: role, Since: now.UTC().Truncate(time.Second)}
	_, _ = rand.Read(e.salt[:])
	secret = prefix + base64.RawURLEncoding.EncodeToString(random[:])
	e.hash = e.digest(secret)
	return secret, e, nil
}

// digest is one round of SHA-256. A password would need a function that is
// slow, since people choose from few; a token is 256 random bits made here, and
// nobody can try them out. The salt keeps two files from being compared.
func (e Entry) digest(secret string) [sha256.Size]byte {
	return sha256.Sum256(append(e.salt[:], secret...))
}

// Same tells whether two entries are of the same token in the same role.
func (e Entry) Same(o Entry) bool { return e.Name == o.Name && e.Role == o.Role && e.hash == o.hash }

// Find is the entry of a token. Every entry is looked at whatever is found, so
// that the time it takes does not tell where.
func Find(entries []Entry, secret string) (Entry, bool) {
	found := -1
	for i, e := range entries {
		have := e.digest(secret)
		if subtle.ConstantTimeCompare(have[:], e.hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return Entry{}, false
	}
	return entries[found], true
}

// ValidName tells whether a token may have that name.
func ValidName(name string) error {
	if name == "" || len(name) > MaxNameLen || strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._@-", r))
	}) {
		return fmt.Errorf("%q cannot be the name of a token: use up to %d letters, digits and . _ @ -", name, MaxNameLen)
	}
	return nil
}

// String is the entry's line: name, role, hash with its salt, since when.
func (e Entry) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("%s %s sha256$%s$%s %s", e.Name, e.Role, b64.EncodeToString(e.salt[:]), b64.EncodeToString(e.hash[:]),
		e.Since.Format(time.RFC3339))
}

// parseLine reads an entry.
func parseLine(line string) (e Entry, err error) {
	words := strings.Fields(line)
	if len(words) != 4 {
		return e, errors.New("want name, role, hash and time; write it with weir token add")
	}
	e.Name = words[0]
	if err := ValidName(e.Name); err != nil {
		return e, err
	}
	if e.Role, err = lvs.ParseRole(words[1]); err != nil {
		return e, err
	}
	parts := strings.Split(words[2], "$")
	if len(parts) != 3 || parts[0] != "sha256" || !decode(e.salt[:], parts[1]) || !decode(e.hash[:], parts[2]) {
		return e, errors.New("the hash is not one of weir's; write it with weir token add")
	}
	if e.Since, err = time.Parse(time.RFC3339, words[3]); err != nil {
		return e, errors.New("the time is not one of weir's; write it with weir token add")
	}
	return e, nil
}

// decode fills to, whole, from base64.
func decode(to []byte, text string) bool {
	b, err := base64.RawStdEncoding.Strict().DecodeString(text)
	return err == nil && len(b) == len(to) && copy(to, b) == len(to)
}

// Parse reads the text of a token file, with everything that is wrong with it.
func Parse(file, text string) ([]Entry, error) {
	var out []Entry
	var errs []error
	seen := map[string]int{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, err := parseLine(line)
		if first := seen[e.Name]; err == nil && first > 0 {
			err = fmt.Errorf("%s is there already, in line %d", e.Name, first)
		}
		if err == nil && len(out) == MaxTokens {
			return nil, errors.Join(append(errs, fmt.Errorf("%s:%d: more than %d tokens", file, n, MaxTokens))...)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, n, err))
			continue
		}
		seen[e.Name] = n
		out = append(out, e)
	}
	return out, errors.Join(errs...)
}

// Text is a token file with those entries.
func Text(entries []Entry) string {
	var b strings.Builder
	b.WriteString("# Who may use weir's API: name, role, hash, since. Written by weir token.\n")
	for _, e := range entries {
		b.WriteString(e.String() + "\n")
	}
	return b.String()
}

package ldirectord

import (
	"strings"
	"unicode/utf8"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/dialect"
)

// A statement is one directive with the way it stands in the file.
type statement struct {
	at     config.Place
	name   string
	value  string // everything behind the equals sign, comments included
	bare   bool   // there is no equals sign
	cols   int    // columns of indentation, a tab counting four
	blank  bool   // a blank line stands between it and the statement before
	inside bool   // it belongs to a virtual service
}

// A block is a virtual service with the statements in it.
type block struct {
	head statement
	body []statement
}

// layout sorts the statements of a file into global ones and blocks.
//
// The original ends a block at the first line with fewer than four columns of
// indentation or with nothing on it, and refuses a directive that then stands
// in the wrong section. Such files are read here as they were meant. No
// file the original accepts is read differently: in those, what belongs into
// a block only never stands to the left of the fourth column.
func (r *reader) layout(lines []dialect.Line) (global []statement, blocks []*block) {
	var all []statement
	blank := false
	for _, line := range lines {
		st, ok := r.statement(line)
		if !ok {
			blank = blank || strings.TrimSpace(line.Text) == ""
			continue
		}
		st.blank, blank = blank, false
		all = append(all, st)
	}
	for len(all) > 0 && !isHead(all[0]) {
		r.noteGlobal(all[0])
		global = append(global, all[0])
		all = all[1:]
	}
	for len(all) > 0 {
		end := 1
		for end < len(all) && !isHead(all[end]) {
			end++
		}
		more, b := r.block(all[:end])
		global = append(global, more...)
		blocks = append(blocks, b)
		all = all[end:]
	}
	return global, blocks
}

func isHead(st statement) bool { return st.name == "virtual" || st.name == "virtual6" }

// statement reads one line; ok is false for blank lines and comments.
func (r *reader) statement(line dialect.Line) (st statement, ok bool) {
	text, cr := strings.CutSuffix(line.Text, "\r")
	if cr {
		r.once("crlf", line.Place, "lines end in CR LF; ldirectord takes the CR as part of the value and refuses yes/no directives, weir leaves it out")
	}
	c := dialect.Cursor{Rest: text}
	c.Blanks()
	if c.Rest == "" || c.Rest[0] == '#' {
		return st, false
	}
	st.at = line.Place
	for _, ch := range text[:len(text)-len(c.Rest)] {
		st.cols++
		if ch == '\t' {
			st.cols += 3
		}
	}
	st.name = c.While(func(b byte) bool { return b > ' ' && b != '=' && b != '#' })
	c.Blanks()
	st.bare = !c.Take("=")
	c.Blanks()
	st.value = c.Rest
	if !utf8.ValidString(cutComment(st.value)) {
		r.errorf(st, "%s holds bytes that are no UTF-8; save the file in UTF-8", st.name)
	}
	return st, true
}

// block sorts the statements from one head up to the next.
func (r *reader) block(all []statement) (global []statement, b *block) {
	b = &block{head: all[0]}
	flat := isFlat(all)
	ended := false // for the original
	r.noteGlobal(b.head)
	for _, st := range all[1:] {
		deeper := st.cols > b.head.cols
		regular := b.head.cols == 0 && st.cols >= 4
		if deeper || inBlockOnly(st.name) || flat && !isGlobalOnly(st.name) && isKnown(st.name) {
			st.inside = true
			r.noteBody(b.head, st, regular, &ended)
			b.body = append(b.body, st)
			continue
		}
		ended = true
		r.noteGlobal(st)
		global = append(global, st)
	}
	return global, b
}

// isFlat tells whether a block stands on one indentation with its head, as
// guides like to print it. The original refuses every such block.
func isFlat(all []statement) bool {
	found := false
	for _, st := range all[1:] {
		if st.cols > all[0].cols {
			return false
		}
		found = found || inBlockOnly(st.name)
	}
	return found
}

func (r *reader) noteGlobal(st statement) {
	if st.cols > 0 && isKnown(st.name) {
		r.once("indent", st.at, "%s is indented; ldirectord would stop here with \"Unknown command\", weir reads on", st.name)
	}
}

func (r *reader) noteBody(head, st statement, regular bool, ended *bool) {
	switch {
	case !regular:
		r.once("indent", st.at, "%s stands with fewer than four columns of indentation; ldirectord would stop here with \"Unknown command\", weir takes it as part of the virtual service of line %d", st.name, head.at.Line)
	case *ended:
		r.once("ended", st.at, "the directive before ends the virtual service of line %d for ldirectord, which would stop here with \"Unknown command\"; weir takes %s as part of it", head.at.Line, st.name)
	case st.blank:
		r.once("blank", st.at, "the blank line before ends the virtual service of line %d for ldirectord, which would stop here with \"Unknown command\"; weir reads on", head.at.Line)
	}
}

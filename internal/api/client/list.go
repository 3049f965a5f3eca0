package client

import (
	"bufio"
	"bytes"
	"io"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// lineLength is that of a service with some thousand destinations.
const lineLength = 1 << 20

// readList shows what is in a JSON list, each in the memory of the one before,
// until it ends or show has enough. Weir puts each into a line, which is scanned;
// what is otherwise is left to a library.
func readList(text io.Reader, show func(*Service) bool) (enough bool, err error) {
	r := bufio.NewReaderSize(text, lineLength)
	var s Service
	for before := byte('['); ; before = ',' {
		line, err := r.ReadSlice('\n')
		if err != nil || line[0] != before || !readLine(line[1:len(line)-1], &s) {
			return readRest(before == ',', io.MultiReader(bytes.NewReader(line), r), show)
		}
		if !show(&s) {
			return true, nil
		}
	}
}

func readLine(line []byte, s *Service) bool {
	if scanService(line, s) {
		return true
	}
	*s = Service{Destinations: s.Destinations[:0]}
	return jsonv2.Unmarshal(line, s) == nil
}

// readRest is readList with the library alone, from the beginning or behind one
// that was read.
func readRest(begun bool, text io.Reader, show func(*Service) bool) (enough bool, err error) {
	if begun {
		text = io.MultiReader(strings.NewReader("[null"), text)
	}
	d := jsontext.NewDecoder(text)
	if _, err := d.ReadToken(); err != nil { // [
		return false, err
	}
	if begun {
		_, _ = d.ReadToken() // null
	}
	var s Service
	for d.PeekKind() != ']' {
		s = Service{Destinations: s.Destinations[:0]}
		if err := jsonv2.UnmarshalDecode(d, &s); err != nil {
			return false, err
		}
		if !show(&s) {
			return true, nil
		}
	}
	_, err = d.ReadToken() // ]
	return false, err
}

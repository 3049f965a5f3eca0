package config_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/weir-lb/weir/internal/config"
	"github.com/weir-lb/weir/internal/lvs"
)

func TestCheckIsKept(t *testing.T) {
	want := lvs.Check{Kind: lvs.CheckHTTP, Request: "/alive", Interval: time.Second, Fall: 2}
	other := want
	other.Fall = 3
	c := config.CheckOf(want)
	if c.Value() != want || c != config.CheckOf(want) || c == config.CheckOf(other) {
		t.Errorf("%+v is kept as %+v", want, c.Value())
	}
	if none := (config.Check{}); none.Value() != (lvs.Check{}) {
		t.Errorf("none is %+v", none.Value())
	}
	// As it was written before there was a place for it to be kept in.
	type before struct{ Check lvs.Check }
	type now struct{ Check config.Check }
	text, err := json.Marshal(now{c})
	if old, errOld := json.Marshal(before{want}); err != nil || errOld != nil || string(text) != string(old) {
		t.Errorf("%s, %v; want %s, %v", text, err, old, errOld)
	}
	var read now
	if err := json.Unmarshal(text, &read); err != nil || read.Check != c {
		t.Errorf("%s is read as %+v, %v", text, read.Check.Value(), err)
	}
	if err := json.Unmarshal([]byte(`{"Check": 7}`), &read); err == nil {
		t.Error("a number is taken for a check")
	}
}

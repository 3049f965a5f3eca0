package health

// A Streak counts towards a change of mind.
type Streak struct {
	Up   bool
	Runs int // answers in a row against Up
}

// After is the streak once another answer is in, and whether the mind changed:
// fall bad answers in a row bring a server down, rise good ones bring it back.
// Less than one counts as one.
func (s Streak) After(good bool, rise, fall int) (Streak, bool) {
	if good == s.Up {
		return Streak{Up: s.Up}, false
	}
	need := rise
	if s.Up {
		need = fall
	}
	if s.Runs+1 < need {
		return Streak{s.Up, s.Runs + 1}, false
	}
	return Streak{Up: good}, true
}

// A rota is the order of dear and cheap questions (ldirectord's checktype=N):
// after a good dear answer, every cheap questions follow; a bad cheap answer
// brings the dear question back at once.
type rota struct {
	every int
	left  int // cheap questions still to come
}

// cheap tells whether the next question is a cheap one.
func (r rota) cheap() bool { return r.left > 0 }

// after is the rota once the question it named was answered.
func (r rota) after(good bool) rota {
	switch {
	case !good:
		r.left = 0
	case r.cheap():
		r.left--
	default:
		r.left = r.every
	}
	return r
}

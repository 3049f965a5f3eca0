package demo

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// A progress tells what is happening while it happens: on a terminal in a
// line that moves, else in plain lines.
type progress struct {
	w     io.Writer
	moves bool

	mu    sync.Mutex
	text  string
	more  func() string // the load at the moment
	turn  int
	shown bool // a moving line stands there
	stop  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup
}

func newProgress(o Options) *progress {
	p := &progress{w: o.Stdout, moves: o.Terminal, stop: make(chan struct{})}
	if o.JSON {
		p.w, p.moves = o.Stderr, false
	}
	if p.moves {
		p.wg.Go(p.move)
	}
	return p
}

// move redraws the line ten times a second.
func (p *progress) move() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.draw()
		}
	}
}

func (p *progress) draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.text == "" {
		return
	}
	line := p.text
	if p.more != nil {
		line += ": " + p.more()
	}
	p.turn++
	fmt.Fprintf(p.w, "\r\x1b[K%c %.100s", []rune("|/-\\")[p.turn%4], line)
	p.shown = true
}

// line prints a line that stays.
func (p *progress) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}

// begin names what is being done.
func (p *progress) begin(text string) {
	p.mu.Lock()
	p.text, p.more = text, nil
	p.mu.Unlock()
	if !p.moves {
		p.line("        %s …", text)
	}
}

// live adds to the moving line what more says at the moment.
func (p *progress) live(more func() string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.more = more
}

// note tells of something that has happened within a chapter.
func (p *progress) note(format string, args ...any) { p.line("        "+format, args...) }

// done ends what begin began.
func (p *progress) done(format string, args ...any) {
	p.mu.Lock()
	p.text = ""
	p.mu.Unlock()
	p.line("%-6s  "+format, append([]any{mark(true)}, args...)...)
}

// row is the end of a chapter.
func (p *progress) row(r Row) {
	p.mu.Lock()
	p.text = ""
	p.mu.Unlock()
	p.line("%-6s  %s: %s", mark(r.OK), r.Chapter, r.Seen)
}

// close ends the moving line. A second time it does nothing.
func (p *progress) close() {
	p.once.Do(func() { close(p.stop) })
	p.wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

package guard

import (
	"net"
	"sync"
)

// A Room bounds how many connections there are at the same time, over all the
// listeners it is given. One client address may have a quarter of them.
type Room struct {
	mu   sync.Mutex
	most int
	all  int
	each map[string]int
}

// NewRoom is for as many connections.
func NewRoom(most int) *Room { return &Room{most: most, each: map[string]int{}} }

// Resize changes how many; those there are stay.
func (r *Room) Resize(most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most = most
}

func (r *Room) enter(at string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all >= r.most || r.each[at] >= max(r.most/4, 1) {
		return false
	}
	r.all++
	r.each[at]++
	return true
}

func (r *Room) leave(at string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all--
	if r.each[at]--; r.each[at] == 0 {
		delete(r.each, at)
	}
}

// Listener is l, whose connections are closed at once when there is no room.
func (r *Room) Listener(l net.Listener) net.Listener { return roomy{l, r} }

type roomy struct {
	net.Listener
	room *Room
}

func (l roomy) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		at := clientOf(c.RemoteAddr().String())
		if l.room.enter(at) {
			return &guest{Conn: c, leave: sync.OnceFunc(func() { l.room.leave(at) })}, nil
		}
		_ = c.Close() // nothing was said yet
	}
}

type guest struct {
	net.Conn
	leave func()
}

func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}

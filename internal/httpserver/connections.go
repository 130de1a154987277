package httpserver

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// maxConnections bounds the client connections, for their memory.
const maxConnections = 16 << 10

// connectionLimit returns how many client connections are allowed: with a connection to a replica for each of them, some
// file descriptors are left.
func connectionLimit() int {
	const others = 128
	var files syscall.Rlimit // the soft limit, which Go has raised to the hard one
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return maxConnections
	}
	return int(max(16, min(maxConnections, (int64(min(files.Cur, 1<<30))-others)/2)))
}

// Connections tracks the client connections of a server. Above the limit, the one that has been idle for the longest is
// closed, so that idle connections do not block new ones.
type Connections struct {
	limit int

	mu   sync.Mutex
	all  map[net.Conn]connection
	idle list.List // connections without a request, the longest idle first
}

type connection struct {
	state http.ConnState
	since time.Time
	idle  *list.Element // nil: has a request
}

// Watch returns the connections of a server. It must be called before Serve.
func Watch(s *http.Server) *Connections { return watch(s, connectionLimit()) }

func watch(s *http.Server, limit int) *Connections {
	c := &Connections{limit: limit, all: map[net.Conn]connection{}}
	s.ConnState = c.changed
	return c
}

// Count returns the number of connections, and of those that have a request or may be about to send one: those that have not
// been idle for a time.
func (c *Connections) Count(idle time.Duration) (open, busy int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.all {
		if one.state != http.StateIdle || time.Since(one.since) < idle {
			busy++
		}
	}
	return len(c.all), busy
}

// changed is an http.Server's ConnState hook.
func (c *Connections) changed(conn net.Conn, state http.ConnState) {
	if oldest := c.update(conn, state); oldest != nil {
		_ = oldest.Close() // its goroutine ends then
	}
}

// update returns the connection to close, or nil.
func (c *Connections) update(conn net.Conn, state http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.all[conn].idle; e != nil {
		c.idle.Remove(e)
	}
	now := connection{state: state, since: time.Now()}
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(c.all, conn)
		return nil
	case http.StateNew, http.StateIdle:
		now.idle = c.idle.PushBack(conn)
	}
	c.all[conn] = now
	if state != http.StateNew || len(c.all) <= c.limit {
		return nil
	}
	oldest := c.idle.Front() // the new one is among them
	conn, _ = c.idle.Remove(oldest).(net.Conn)
	return conn
}

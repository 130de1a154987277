package httpserver

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"syscall"
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

// connections tracks the client connections. Above the limit, the one that has been idle for the longest is closed, so that
// idle connections do not block new ones.
type connections struct {
	limit int

	mu   sync.Mutex
	all  map[net.Conn]*list.Element // nil: has a request
	idle list.List                  // connections without a request, the longest idle first
}

func newConnections(limit int) *connections {
	return &connections{limit: limit, all: map[net.Conn]*list.Element{}}
}

// changed is an http.Server's ConnState hook.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if oldest := c.update(conn, state); oldest != nil {
		_ = oldest.Close() // its goroutine ends then
	}
}

// update returns the connection to close, or nil.
func (c *connections) update(conn net.Conn, state http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.all[conn]; e != nil {
		c.idle.Remove(e)
	}
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(c.all, conn)
		return nil
	case http.StateNew, http.StateIdle:
		c.all[conn] = c.idle.PushBack(conn)
	default:
		c.all[conn] = nil
	}
	if state != http.StateNew || len(c.all) <= c.limit {
		return nil
	}
	oldest := c.idle.Front() // the new one is among them
	conn, _ = c.idle.Remove(oldest).(net.Conn)
	return conn
}

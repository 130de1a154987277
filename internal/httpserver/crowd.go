package httpserver

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// maxConnections bounds the connections with clients, for the memory they take.
const maxConnections = 16 << 10

// connectionLimit is how many connections with clients there may be: with one to a replica for each of them, files are
// left for the rest.
func connectionLimit() int {
	const others = 128
	var files syscall.Rlimit // the soft limit: Go has raised it to the hard one
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return maxConnections
	}
	return int(max(16, min(maxConnections, (int64(min(files.Cur, 1<<30))-others)/2)))
}

// crowd knows the connections with clients. Where one too many comes, the one that has been without a request for the
// longest is closed, so that idle connections keep nobody out.
type crowd struct {
	most int

	mu      sync.Mutex
	all     map[net.Conn]*list.Element // nil: a request is under way
	waiting list.List                  // connections without a request, the longest first
}

func newCrowd(most int) *crowd { return &crowd{most: most, all: map[net.Conn]*list.Element{}} }

// changed is told of each connection's state.
func (c *crowd) changed(conn net.Conn, state http.ConnState) {
	if left := c.note(conn, state); left != nil {
		_ = left.Close() // its goroutine ends by it
	}
}

// note returns the connection that is to be closed, if any.
func (c *crowd) note(conn net.Conn, state http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.all[conn]; e != nil {
		c.waiting.Remove(e)
	}
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(c.all, conn)
		return nil
	case http.StateNew, http.StateIdle:
		c.all[conn] = c.waiting.PushBack(conn)
	default:
		c.all[conn] = nil
	}
	if state != http.StateNew || len(c.all) <= c.most {
		return nil
	}
	oldest := c.waiting.Front() // the new one is among them
	left, _ := c.waiting.Remove(oldest).(net.Conn)
	c.all[left] = nil // until net/http tells that it is closed
	return left
}

package gateway

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// farewell is how long clients are told with each answer that their connection ends. One that is closed without may have
// the next request on its way, which is lost then: HTTP/1.1 has no other way to take leave.
const farewell = time.Second

// guests are the connections with clients, and the listeners by which they come. http.Server.Shutdown alone drops a
// request that it reads after it was called, so it comes last, when only unused connections are left.
type guests struct {
	mu        sync.Mutex
	states    map[net.Conn]http.ConnState
	listeners []net.Listener
	taking    sync.WaitGroup // until the last connection of a listener is known
	leaving   bool           // no more listeners are taken
}

// changed is told of each connection's state.
func (g *guests) changed(c net.Conn, state http.ConnState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(g.states, c)
		return
	}
	g.states[c] = state
}

// listen notes a listener, or tells that it is too late for one. Who serves it calls taking.Done after the last connection.
func (g *guests) listen(l net.Listener) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leaving {
		return false
	}
	g.taking.Add(1)
	g.listeners = append(g.listeners, l)
	return true
}

func (g *guests) left() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.leaving
}

// close lets nobody in any more, and returns when all who came are known.
func (g *guests) close() {
	g.mu.Lock()
	g.leaving = true
	for _, l := range g.listeners {
		_ = l.Close() // http.Server closes it too
	}
	g.mu.Unlock()
	g.taking.Wait()
}

// open counts the connections, and busy those on which a request is or may be coming.
func (g *guests) open() (open, busy int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, state := range g.states {
		if state != http.StateIdle {
			busy++
		}
	}
	return len(g.states), busy
}

// until waits until something holds, as long as ctx allows.
func (g *guests) until(ctx context.Context, holds func() bool) {
	ticker := time.NewTicker(farewell / 100)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// takeLeave ends as many connections as can be ended without a loss, while new ones are taken; then it takes no more and
// waits for those on which something is under way.
func (g *guests) takeLeave(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	g.until(limited, func() bool { open, _ := g.open(); return open == 0 })
	g.close()
	g.until(ctx, func() bool { _, busy := g.open(); return busy == 0 })
}

package gateway

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// lameDuckPeriod is how long a gateway that shuts down still takes requests, while each response closes its connection. A
// connection closed without that notice may have the client's next request on its way, which would be lost.
const lameDuckPeriod = time.Second

// connTracker tracks the listeners and the connections with clients. http.Server.Shutdown alone would drop a request that it
// reads after it was called, so it is called last, when only idle connections are left.
type connTracker struct {
	mu        sync.Mutex
	states    map[net.Conn]connState
	listeners []net.Listener
	serving   sync.WaitGroup // one for each listener, until its last connection is tracked
	closed    bool           // no more listeners are taken
}

// connState is a connection's state and when it began.
type connState struct {
	http.ConnState
	since time.Time
}

// stateChanged is the server's ConnState hook.
func (t *connTracker) stateChanged(c net.Conn, state http.ConnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(t.states, c)
		return
	}
	t.states[c] = connState{state, time.Now()}
}

// listen tracks a listener; false after close. The caller calls serving.Done once the listener takes no more connections.
func (t *connTracker) listen(l net.Listener) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.serving.Add(1)
	t.listeners = append(t.listeners, l)
	return true
}

func (t *connTracker) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// close closes the listeners and waits until all their connections are tracked.
func (t *connTracker) close() {
	t.mu.Lock()
	t.closed = true
	for _, l := range t.listeners {
		_ = l.Close() // http.Server closes it too
	}
	t.mu.Unlock()
	t.serving.Wait()
}

// count returns the number of connections, and of those that have a request or may be about to send one: a response that began
// before the drain did not announce the end of its connection, so the client gets the lame-duck period from its end.
func (t *connTracker) count() (open, busy int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, state := range t.states {
		if state.ConnState != http.StateIdle || time.Since(state.since) < lameDuckPeriod {
			busy++
		}
	}
	return len(t.states), busy
}

// waitFor polls until the condition holds or ctx ends.
func (t *connTracker) waitFor(ctx context.Context, condition func() bool) {
	ticker := time.NewTicker(lameDuckPeriod / 100)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// drain lets connections end with their next response for the lame-duck period, then closes the listeners and waits for the
// requests in flight, as long as ctx allows.
func (t *connTracker) drain(ctx context.Context) {
	lameDuck, cancel := context.WithTimeout(ctx, lameDuckPeriod)
	defer cancel()
	t.waitFor(lameDuck, func() bool { open, _ := t.count(); return open == 0 })
	t.close()
	t.waitFor(ctx, func() bool { _, busy := t.count(); return busy == 0 })
}

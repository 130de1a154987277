package gateway

import (
	"context"
	"net"
	"sync"
	"time"

	"fovea/internal/httpserver"
)

// lameDuckPeriod is how long a gateway that shuts down still takes requests, while each response closes its connection. A
// connection closed without that notice may have the client's next request on its way, which would be lost.
const lameDuckPeriod = time.Second

// connTracker tracks the listeners and the connections with clients. http.Server.Shutdown alone would drop a request that it
// reads after it was called, so it is called last, when only idle connections are left.
type connTracker struct {
	*httpserver.Connections

	mu        sync.Mutex
	listeners []net.Listener
	serving   sync.WaitGroup // one for each listener, until its last connection is tracked
	closed    bool           // no more listeners are taken
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
// requests in flight, as long as ctx allows. A response that began before did not announce the end of its connection, so the
// client gets the lame-duck period from its end.
func (t *connTracker) drain(ctx context.Context) {
	lameDuck, cancel := context.WithTimeout(ctx, lameDuckPeriod)
	defer cancel()
	t.waitFor(lameDuck, func() bool { open, _ := t.Count(lameDuckPeriod); return open == 0 })
	t.close()
	t.waitFor(ctx, func() bool { _, busy := t.Count(lameDuckPeriod); return busy == 0 })
}

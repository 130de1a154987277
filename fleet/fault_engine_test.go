//go:build engine

package fleet

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// wire stands between a supervisor and the engine, and can stop passing anything on, or cut all connections.
type wire struct {
	path     string
	listener net.Listener
	ended    sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	hung    bool
	conns   map[net.Conn]bool
}

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{path: filepath.Join(t.TempDir(), "e.sock"), conns: map[net.Conn]bool{}}
	w.changed = sync.NewCond(&w.mu)
	var err error
	if w.listener, err = net.Listen("unix", w.path); err != nil {
		t.Fatal(err)
	}
	w.ended.Go(w.accept)
	t.Cleanup(func() {
		_ = w.listener.Close()
		w.hang(false)
		w.cut()
		w.ended.Wait()
	})
	return w
}

func (w *wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("unix", "/var/run/docker.sock")
		if err != nil {
			_ = near.Close()
			continue
		}
		w.mu.Lock()
		w.conns[near], w.conns[far] = true, true
		w.mu.Unlock()
		w.ended.Go(func() { w.copy(near, far) })
		w.ended.Go(func() { w.copy(far, near) })
	}
}

func (w *wire) copy(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		w.mu.Lock()
		for w.hung {
			w.changed.Wait()
		}
		w.mu.Unlock()
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			break
		}
	}
	if c, ok := to.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

func (w *wire) hang(hung bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hung = hung
	w.changed.Broadcast()
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
	}
	clear(w.conns)
}

func TestEngineThatHangsStopsNoRequest(t *testing.T) {
	w := newWire(t)
	b := newBench(t, two+"engine: {host: \"unix://"+w.path+"\", timeout: 2s, resync: 1s}\n")
	b.start(2)
	l := b.load()
	w.hang(true)
	b.until("it is shown", func(s Status) bool { return len(s.Problems) > 0 && s.Ready == 2 })
	// A replica that dies now is taken out of service by its probes, and replaced once the engine answers.
	before := b.containers()
	if err := b.engine.Kill(context.Background(), before["cpu-0"]); err != nil {
		t.Fatal(err)
	}
	b.until("its replica is out of service", func(s Status) bool { return s.Replicas[0].State != Ready })
	start := time.Now()
	w.hang(false)
	b.until("all are ready again", func(s Status) bool { return s.Ready == 2 && len(s.Problems) == 0 })
	l.end(inFlight, time.Since(start))
}

func TestEventStreamThatBreaksOffIsTakenUpAgain(t *testing.T) {
	w := newWire(t)
	b := newBench(t, two+"engine: {host: \"unix://"+w.path+"\", resync: 10m}\n")
	b.start(2)
	w.cut()
	l := b.load()
	before := b.containers()
	start := time.Now()
	if err := b.engine.Kill(context.Background(), before["cpu-1"]); err != nil {
		t.Fatal(err)
	}
	b.until("it is replaced", func(s Status) bool { return s.Ready == 2 && s.Replicas[1].Restarts == 1 })
	l.end(inFlight, time.Since(start))
}

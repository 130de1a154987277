package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// gauge serves the CPU time of the server's processes in Prometheus' text format, which the load test reads at its window
// boundaries, and records their peak memory.
type gauge struct {
	server *http.Server
	url    string
	peak   atomic.Int64 // bytes
	stop   context.CancelFunc
	done   chan struct{}
}

// memoryEvery is the interval of memory samples. Each takes some milliseconds, as the kernel walks all pages.
const memoryEvery = time.Second

func startGauge(ctx context.Context) (*gauge, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gauge{url: "http://" + listener.Addr().String() + "/metrics", done: make(chan struct{})}
	g.server = &http.Server{Handler: http.HandlerFunc(g.answer), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = g.server.Serve(listener) // until close
	}()
	ctx, g.stop = context.WithCancel(ctx)
	go func() {
		defer close(g.done)
		for ctx.Err() == nil {
			g.sampleMemory()
			select {
			case <-ctx.Done():
			case <-time.After(memoryEvery):
			}
		}
		<-served
	}()
	return g, nil
}

func (g *gauge) close() error {
	g.stop()
	err := g.server.Close()
	<-g.done
	return err
}

func (g *gauge) sampleMemory() {
	now, err := treePSS()
	if err != nil {
		return // reading the CPU time reports the error
	}
	for {
		before := g.peak.Load()
		if now <= before || g.peak.CompareAndSwap(before, now) {
			return
		}
	}
}

func (g *gauge) answer(w http.ResponseWriter, _ *http.Request) {
	cpu, err := treeCPU()
	if err != nil {
		http.Error(w, errors.Join(errors.New("the server's processes"), err).Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "process_cpu_seconds_total %f\n", cpu.Seconds())
}

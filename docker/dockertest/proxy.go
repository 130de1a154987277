// Package dockertest has what tests need to see a Docker engine and its containers fail: a proxy before the engine's
// socket that hangs or cuts connections when told to, a filter of calls, an engine that may be restarted, and images of
// programs that misbehave.
package dockertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Proxy passes everything between a socket of its own and an engine's. Close it.
type Proxy struct {
	Host string // where it listens, as unix:///path

	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	gate   chan struct{} // open while closed
	held   string        // what requests begin with that get no answer
	closed chan struct{}
}

// NewProxy listens on a socket in a folder, before the engine's socket at a path.
func NewProxy(dir, target string) (*Proxy, error) {
	path := filepath.Join(dir, "docker.sock")
	listener, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		Host: "unix://" + path, target: target, listener: listener,
		conns: map[net.Conn]struct{}{}, gate: make(chan struct{}), closed: make(chan struct{}),
	}
	close(p.gate)
	p.running.Go(p.accept)
	return p, nil
}

// Hang stops everything that passes, on connections old and new, which stay open.
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
		p.gate = make(chan struct{})
	default: // It hangs already.
	}
}

// Resume lets everything pass that Hang held back.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
}

// Hold gives no answer to requests, on any connection, whose first line holds a text, such as "/stop". The engine does
// not see them. An empty text holds none any more, but those that are held stay so.
func (p *Proxy) Hold(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = text
}

// Cut closes all connections; new ones are taken.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close() // Both ends are told; there is nothing else to do about it.
	}
}

// Close ends the proxy and all its connections.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	close(p.closed)
	p.Cut()
	p.running.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		engine, err := new(net.Dialer).DialContext(context.Background(), "unix", p.target)
		if err != nil {
			_ = conn.Close()
			continue
		}
		if !p.keep(conn, engine) {
			continue
		}
		p.running.Go(func() {
			var both sync.WaitGroup
			both.Go(func() { p.pass(conn, engine, p.holds) })
			both.Go(func() { p.pass(engine, conn, func([]byte) bool { return false }) })
			both.Wait()
			p.drop(conn, engine)
		})
	}
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closed:
		for _, conn := range conns {
			_ = conn.Close()
		}
		return false
	default:
	}
	for _, conn := range conns {
		p.conns[conn] = struct{}{}
	}
	return true
}

func (p *Proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.conns, conn)
	}
}

// pass copies until either end closes, and then closes both. What is held is read and goes no further.
func (p *Proxy) pass(from, to net.Conn, held func([]byte) bool) {
	defer from.Close()
	defer to.Close()
	block := make([]byte, 32<<10)
	for {
		n, err := from.Read(block)
		if n > 0 && !p.waitGate() {
			return
		}
		if n > 0 && held(block[:n]) {
			_, _ = io.Copy(io.Discard, from) // until its client gives up
			return
		}
		if _, writeErr := to.Write(block[:n]); errors.Join(err, writeErr) != nil {
			return
		}
	}
}

// holds tells whether a block begins with a request that is held. The client sends a request's head in one piece.
func (p *Proxy) holds(block []byte) bool {
	line, _, _ := bytes.Cut(block, []byte("\r\n"))
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held != "" && bytes.Contains(line, []byte(p.held))
}

func (p *Proxy) waitGate() bool {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	select {
	case <-gate:
		return true
	case <-p.closed:
		return false
	}
}

var _ io.Closer = (*Proxy)(nil)

// Socket is the path of the machine's own engine.
func Socket() string {
	if path, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		return path
	}
	return "/var/run/docker.sock"
}

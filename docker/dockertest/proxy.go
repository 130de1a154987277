// Package dockertest lets tests make a Docker engine and its containers fail: a proxy for the engine's socket that hangs or cuts
// connections, a filter of calls, an engine that can be restarted, and images of test programs.
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

// Proxy forwards everything between its socket and an engine's. The caller calls Close.
type Proxy struct {
	Host string // unix:///path

	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	gate   chan struct{} // open while closed
	held   string        // requests with this text in their first line get no response
	closed chan struct{}
}

// NewProxy listens on a socket in a folder and forwards to the engine's socket.
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

// Hang stops all forwarding, on existing and new connections, which stay open.
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
		p.gate = make(chan struct{})
	default: // hangs already
	}
}

// Resume ends Hang and forwards what was held back.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
}

// Hold keeps requests whose first line contains a text, such as "/stop", from the engine, on any connection, without a response. An
// empty text holds no further ones.
func (p *Proxy) Hold(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = text
}

// Cut closes all connections; new ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close() // both ends are closed
	}
}

// Close closes the proxy and all its connections.
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

// pass copies until either end closes, then closes both. Held requests are read and dropped.
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
			_, _ = io.Copy(io.Discard, from) // until the client gives up
			return
		}
		if _, writeErr := to.Write(block[:n]); errors.Join(err, writeErr) != nil {
			return
		}
	}
}

// holds reports whether a block begins with a held request. The client sends a request's headers in one write.
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

// Socket returns the socket of the machine's own engine.
func Socket() string {
	if path, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		return path
	}
	return "/var/run/docker.sock"
}

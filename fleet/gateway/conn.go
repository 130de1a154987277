package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errStale: the replica closed a kept connection before anything was written to it.
var errStale = errors.New("the replica closed the connection before the request was sent")

// conn is a connection to a replica that knows whether a request may have reached it.
type conn struct {
	net.Conn
	raw     syscall.RawConn
	written atomic.Int64 // bytes
	check   atomic.Bool  // test whether the replica closed it before the next write
	failed  atomic.Bool  // a write has failed
	writer  atomic.Pointer[attempt]
}

func dialer(timeout time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		s, ok := c.(syscall.Conn)
		if !ok {
			return nil, errors.Join(errors.New("not a socket"), c.Close())
		}
		raw, err := s.SyscallConn()
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return &conn{Conn: c, raw: raw}, nil
	}
}

// Write sends p. The first write of a request on a kept connection fails with nothing sent if the replica has closed it:
// net/http learns of that in another goroutine, and a request sent meanwhile would be lost.
func (c *conn) Write(p []byte) (int, error) {
	if c.check.CompareAndSwap(true, false) && !c.open() {
		return 0, errStale
	}
	a := c.writer.Load()
	if a != nil {
		a.wait() // A write blocks while the other side reads nothing.
	}
	n, err := c.Conn.Write(p)
	if a != nil {
		a.waiting.Store(0)
	}
	c.written.Add(int64(n))
	if err != nil {
		c.failed.Store(true)
	}
	return n, err
}

// ReadFrom copies src through a pooled buffer; net/http would allocate one for each body.
func (c *conn) ReadFrom(src io.Reader) (int64, error) {
	buf := buffers.Get()
	defer buffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{c}, src, buf)
}

// open reports whether the connection is idle as it must be before a request of HTTP/1: neither closed nor with unread data. It
// consumes nothing.
func (c *conn) open() bool {
	_, err := c.peek()
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
}

// ended reports whether the replica has closed the connection, and all that it had sent was read.
func (c *conn) ended() bool {
	n, err := c.peek()
	return n == 0 && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR)
}

// peek returns how many bytes can be read, at most one; none without an error: the end.
func (c *conn) peek() (n int, err error) {
	failed := c.raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return max(n, 0), errors.Join(failed, err)
}

const bufferSize = 64 << 10

// bufferPool holds buffers for copying bodies.
type bufferPool struct{ pool sync.Pool }

var buffers = &bufferPool{sync.Pool{New: func() any { return new([bufferSize]byte) }}}

// Get implements httputil.BufferPool.
func (p *bufferPool) Get() []byte {
	b, _ := p.pool.Get().(*[bufferSize]byte)
	return b[:]
}

// Put implements httputil.BufferPool.
func (p *bufferPool) Put(b []byte) { p.pool.Put((*[bufferSize]byte)(b)) }

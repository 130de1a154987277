package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"

	"fovea/internal/grpcstatus"
	"fovea/internal/httpserver"
)

const (
	// callWindow is how much of a response a connection to a replica buffers, in bytes: its client may read slowly.
	callWindow = 256 << 10
	// callFrame bounds a frame that a replica sends, in bytes: a connection's buffer grows to the largest one.
	callFrame = 64 << 10
)

// callTransport returns a transport that makes connections for calls: HTTP/2 without TLS.
func callTransport(cfg Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	dial := dialer(cfg.DialTimeout)
	return &http.Transport{
		Proxy: nil,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			if made, ok := ctx.Value(dialedKey{}).(*dialed); ok && err == nil {
				made.conn, _ = c.(*conn) // the dialer makes no others
			}
			return c, err
		},
		DisableCompression:     true,
		IdleConnTimeout:        cfg.IdleTimeout,
		ResponseHeaderTimeout:  cfg.ResponseTimeout,
		MaxResponseHeaderBytes: httpserver.MaxHeaderBytes,
		Protocols:              protocols,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: callWindow, MaxReceiveBufferPerConnection: 2 * callWindow, MaxReadFrameSize: callFrame,
		},
	}
}

// dialed receives the connection that a transport dials.
type dialed struct{ conn *conn }

type dialedKey struct{}

// callConn is a connection to a replica for calls, one at a time. Streams of several clients on one connection would share its flow
// control, and one whose messages wait at the replica would stop the others.
type callConn struct {
	client *http.ClientConn
	conn   *conn
}

// usable reports whether an idle connection can take another call.
func (c *callConn) usable() bool {
	return c.client.Err() == nil && c.client.Available() > 0 && c.client.InFlight() == 0 && !c.conn.ended()
}

// callConns are the idle connections to a backend. The transport closes those that have been idle for too long.
type callConns struct {
	mu     sync.Mutex
	idle   []*callConn // the most recently used last
	closed bool
}

// take returns an idle connection, or nil.
func (p *callConns) take() *callConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		last := len(p.idle) - 1
		c := p.idle[last]
		p.idle = p.idle[:last]
		if c.usable() {
			return c
		}
		_ = c.client.Close()
	}
	return nil
}

// put keeps a connection for another call.
func (p *callConns) put(c *callConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !c.usable() {
		_ = c.client.Close()
		return
	}
	p.idle = slices.DeleteFunc(p.idle, func(o *callConn) bool { return o.client.Err() != nil })
	p.idle = append(p.idle, c)
}

// close closes the idle connections, and those that become idle.
func (p *callConns) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		_ = c.client.Close()
	}
	p.idle = nil
}

// callSender is the http.RoundTripper of an attempt to send a call. A response that it returns has its first bytes, or has ended; in
// that case its StatusCode is the HTTP status of the call's.
type callSender struct {
	transport *http.Transport
	attempt   *attempt
}

// RoundTrip implements http.RoundTripper.
func (s *callSender) RoundTrip(req *http.Request) (*http.Response, error) {
	a := s.attempt
	c, err := s.connect(req.Context())
	if err != nil {
		return nil, err
	}
	unfollow := a.messages.follow(a.backend)
	req.Header = a.messages.headers(req.Header)
	res, err := c.client.RoundTrip(req)
	if err != nil {
		unfollow()
		_ = c.client.Close()
		if refused(err) {
			a.sent.Store(false)
		}
		return nil, err
	}
	b := &callBody{ReadCloser: res.Body, attempt: a, conn: c, unfollow: unfollow}
	res.Body = b
	if err := b.begin(res); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return res, nil
}

// connect returns a connection to the attempt's backend.
func (s *callSender) connect(ctx context.Context) (*callConn, error) {
	a := s.attempt
	if c := a.backend.calls.take(); c != nil {
		a.conn.Store(&connUse{conn: c.conn})
		return c, nil
	}
	made := &dialed{}
	client, err := s.transport.NewClientConn(context.WithValue(ctx, dialedKey{}, made), "http", a.backend.grpc)
	if made.conn != nil {
		a.conn.Store(&connUse{conn: made.conn})
	}
	if err != nil {
		return nil, err
	}
	return &callConn{client, made.conn}, nil
}

// StreamError is what net/http's error of a stream that was reset can be converted to by errors.As, which compares names.
type StreamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error implements error.
func (e StreamError) Error() string { return "the stream was reset" }

const (
	refusedStream = 7 // REFUSED_STREAM of RFC 9113, section 7

	// errorsOfUnsent are those of net/http for a request that the other side has not processed, as it says with GOAWAY, or that was
	// never sent. They have no type.
	goneAway = "http2: Transport received Server's graceful shutdown GOAWAY"
	unusable = "http2: client conn not usable"
)

// refused reports whether the replica cannot have processed a call that failed.
func refused(err error) bool {
	if reset, ok := errors.AsType[StreamError](err); ok {
		return reset.Code == refusedStream
	}
	return err.Error() == goneAway || err.Error() == unusable
}

// callStream reads a call's messages for one attempt, and notes whose turn it is: that of a replica that has a message to answer, or is
// to take more of one.
type callStream struct {
	*stream

	attempt *attempt
}

// reader returns what the attempt sends.
func (a *attempt) reader(s *stream) io.ReadCloser {
	if a.messages == nil {
		return s
	}
	return &callStream{s, a}
}

// Read implements io.Reader.
func (s *callStream) Read(p []byte) (int, error) {
	a := s.attempt
	if !a.messages.waits() {
		a.waiting.Store(0)
	}
	n, err := s.stream.Read(p)
	if errors.Is(err, io.EOF) {
		a.wrote.Store(true)
	}
	if n > 0 || errors.Is(err, io.EOF) {
		a.wait()
	}
	return n, err
}

// Close implements io.Closer. The transport reports a lost connection only when the read in progress has returned, so a stream's must not
// wait for the client's next message. What the client sends then is for another replica.
func (s *callStream) Close() error {
	s.attempt.messages.stop()
	return s.stream.Close()
}

// callBody is the body of a replica's response.
type callBody struct {
	io.ReadCloser

	attempt  *attempt
	conn     *callConn
	unfollow func()
	first    []byte // read already
	ended    bool
	closed   bool
}

// begin reads the first bytes: until then the call can be sent to another replica. A replica sends headers with its first message.
func (b *callBody) begin(res *http.Response) error {
	if res.StatusCode != http.StatusOK {
		return nil
	}
	buf := make([]byte, firstBytes)
	n := 0
	for n == 0 && !b.ended {
		var err error
		n, err = b.ReadCloser.Read(buf)
		b.ended = errors.Is(err, io.EOF)
		if err != nil && !b.ended {
			return err
		}
	}
	b.first = buf[:n]
	b.attempt.gotFirstByte()
	if n == 0 {
		res.StatusCode = grpcstatus.HTTP(statusOf(res))
	}
	return nil
}

// Read implements io.Reader.
func (b *callBody) Read(p []byte) (int, error) {
	if len(b.first) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	if b.ended {
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(p)
	b.ended = errors.Is(err, io.EOF)
	return n, err
}

// Close implements io.Closer. The connection is kept if the call is over on both sides.
func (b *callBody) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	b.unfollow()
	whole := b.ended && b.attempt.wrote.Load()
	if !whole {
		b.attempt.cancel(nil) // Close would wait for the client's next message otherwise
	}
	err := b.ReadCloser.Close()
	if whole {
		b.attempt.backend.calls.put(b.conn)
	} else {
		_ = b.conn.client.Close()
	}
	return err
}

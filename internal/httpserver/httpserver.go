// Package httpserver makes servers whose every wait has an end, which net/http's own defaults are not, and on whose
// connections it is clear where each request ends.
package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// MaxHeaderBytes bounds the headers of a request.
const MaxHeaderBytes = 64 << 10

const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = time.Minute

	// What HTTP/2 reads before a handler asks for it, in bytes: a body that waits holds no more. A stream of one window a
	// round trip carries 12 MB/s over 20 ms.
	streamWindow     = 256 << 10
	connectionWindow = 1 << 20
	maxStreams       = 250
)

// New makes a server that listens nowhere yet, for HTTP/1 and for HTTP/2 without TLS by prior knowledge. read bounds a
// request with its body, write the time from its headers to the end of the answer; 0 is no bound. The handler sees every
// request as it came. What net/http has to say is logged as a warning.
func New(handler http.Handler, read, write time.Duration, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:                      handler,
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  read,
		WriteTimeout:                 write,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               MaxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		Protocols:                    protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: connectionWindow,
			WriteByteTimeout:              idleTimeout,
		},
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ConnState: newCrowd(connectionLimit()).changed,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, c)
		},
	}
}

type connectionKey struct{}

// Unread returns what tells whether bytes have arrived on a request's connection that nobody has read yet; nil where that
// says nothing of the request, as on HTTP/2.
func Unread(r *http.Request) func() bool {
	c, ok := r.Context().Value(connectionKey{}).(*framed)
	if !ok || r.ProtoMajor > 1 {
		return nil
	}
	return c.unread
}

// Watch has f told of the state of each connection too. It is called before Serve.
func Watch(s *http.Server, f func(net.Conn, http.ConnState)) {
	before := s.ConnState
	s.ConnState = func(c net.Conn, state http.ConnState) {
		f(c, state)
		before(c, state)
	}
}

// Serve answers on the listener until the server is shut down, and closes it. It returns nil then.
func Serve(s *http.Server, l net.Listener) error {
	if err := s.Serve(listener{l}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	}
	return nil
}

// listener takes connections whose framing is watched.
type listener struct{ net.Listener }

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &framed{Conn: c}, nil
}

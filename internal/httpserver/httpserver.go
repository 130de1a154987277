// Package httpserver is what the HTTP servers of the programs share: limits on time, headers and connections, which net/http
// has none of by default, protection against request smuggling, and how responses are written.
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

	// What HTTP/2 buffers before a handler reads it, in bytes. A request of up to a window needs no round trip: FP32 pixels of
	// 224×224 are 602 KB. Two streams that are not read yet fill those of a connection.
	streamWindow     = 1 << 20
	connectionWindow = 2 << 20
	maxStreams       = 250
	// maxFrame is the largest frame that is accepted, in bytes. A connection keeps a buffer of the largest one that it has received, and
	// net/http's client, as in supervise's gateway, one of maxFrame for each open stream, up to 512 KiB.
	maxFrame = blockSize
)

// New returns a server for HTTP/1 and HTTP/2, without TLS by prior knowledge; see TLS. read bounds the time to read a request with
// its body, write the time from its headers to the end of the response; 0 means no bound. Messages of net/http are logged as
// warnings.
func New(handler http.Handler, read, write time.Duration, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{
		Handler:                      withTLS(handler),
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  read,
		WriteTimeout:                 write,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               MaxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		Protocols:                    protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReadFrameSize:              maxFrame,
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: connectionWindow,
			WriteByteTimeout:              idleTimeout,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, c)
		},
	}
	Watch(s)
	return s
}

// RefuseH2C limits a server without TLS to HTTP/1. With TLS, HTTP/2 is negotiated, and this must not be called.
func RefuseH2C(s *http.Server) { s.Protocols.SetUnencryptedHTTP2(false) }

type connectionKey struct{}

// Unread returns a function that reports whether bytes have arrived on the request's connection that this process has not
// read yet; nil where that is not known, as on HTTP/2.
func Unread(r *http.Request) func() bool {
	c, ok := r.Context().Value(connectionKey{}).(*framedConn)
	if !ok || r.ProtoMajor > 1 {
		return nil
	}
	return func() bool { return c.arrived() > 0 }
}

// Arrived returns about how many bytes of a request have arrived that net/http has not read yet; 0 where that is not known, as on
// HTTP/2. With TLS they are counted encrypted.
func Arrived(r *http.Request) int {
	if c, ok := r.Context().Value(connectionKey{}).(*framedConn); ok && r.ProtoMajor == 1 {
		return c.arrived()
	}
	return 0
}

// longBody is the length, in bytes, from which reading a body costs more than another connection.
const longBody = 16 << 10

// IsLong reports whether a body is, or may be, so long that closing the connection costs less than reading it.
func IsLong(r *http.Request) bool { return r.ContentLength < 0 || r.ContentLength > longBody }

// Serve serves on the listener until the server is shut down, and closes it. It returns nil then.
func Serve(s *http.Server, l net.Listener) error {
	if err := s.Serve(listener{l}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	}
	return nil
}

// listener accepts connections whose framing is checked.
type listener struct{ net.Listener }

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &framedConn{Conn: c}, nil
}

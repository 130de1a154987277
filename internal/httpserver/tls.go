package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// plainRequest is the response to HTTP without TLS on a port with TLS, as net/http has it.
const plainRequest = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"

// TLS returns a listener whose connections are encrypted, for Serve. net/http sees what is decrypted, as on a connection
// without TLS, so that the framing of requests is checked the same. Handshakes that fail are logged at debug level: anyone can
// cause them.
func TLS(l net.Listener, cfg *tls.Config, log *slog.Logger) net.Listener {
	return &tlsListener{Listener: l, cfg: cfg, log: log}
}

type tlsListener struct {
	net.Listener

	cfg *tls.Config
	log *slog.Logger
}

// Accept implements net.Listener. The handshake is the first read's, so that a slow one blocks no other connection.
func (l *tlsListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tlsConn{Conn: tls.Server(c, l.cfg), log: l.log}, nil
}

// tlsConn is a connection with TLS. Its first read ends before any other call but Close and those for deadlines.
type tlsConn struct {
	*tls.Conn

	log   *slog.Logger
	state *tls.ConnectionState // nil before the handshake
	err   error                // of the handshake
}

// Read implements io.Reader.
func (c *tlsConn) Read(p []byte) (int, error) {
	if c.state == nil && c.err == nil {
		c.handshake()
	}
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(p)
}

// handshake is bounded in time as the headers of a request are.
func (c *tlsConn) handshake() {
	ctx, cancel := context.WithTimeout(context.Background(), readHeaderTimeout)
	defer cancel()
	if c.err = c.HandshakeContext(ctx); c.err == nil {
		state := c.ConnectionState()
		c.state = &state
		return
	}
	if plain, ok := errors.AsType[tls.RecordHeaderError](c.err); ok && plain.Conn != nil && isMethod(plain.RecordHeader) {
		_ = plain.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(plain.Conn, plainRequest)
	}
	c.log.Debug("TLS handshake failed", "client", c.RemoteAddr().String(), "error", c.err.Error())
	c.err = io.EOF // net/http would send a response otherwise
	_ = c.NetConn().Close()
}

// isMethod reports whether the first bytes of a connection are those of an HTTP request.
func isMethod(first [5]byte) bool {
	switch string(first[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// withTLS sets the request's state of TLS, which net/http does only for connections that it has made itself.
func withTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connectionKey{}).(*framedConn); ok {
			if encrypted, ok := c.Conn.(*tlsConn); ok {
				r.TLS = encrypted.state
			}
		}
		next.ServeHTTP(w, r)
	})
}

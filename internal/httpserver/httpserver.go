// Package httpserver makes servers whose every wait has an end, which net/http's own defaults are not.
package httpserver

import (
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
)

// New makes a server that listens nowhere yet. read bounds a request with its body, write the time from its headers to
// the end of the answer; 0 is no bound. The handler sees every request as it came. What net/http has to say is logged as
// a warning.
func New(handler http.Handler, read, write time.Duration, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:                      handler,
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  read,
		WriteTimeout:                 write,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               MaxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// Serve answers on the listener until the server is shut down, and closes it. It returns nil then.
func Serve(s *http.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	}
	return nil
}

package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"fovea/health"
	"fovea/internal/apikey"
	"fovea/internal/testenv"
)

// BenchmarkWrongKey measures a request without a valid key on a kept connection, from a client that does next to nothing. The
// address is a proxy's, so that each request is from another client and none is held back as a flood.
func BenchmarkWrongKey(b *testing.B) {
	e, cfg := newEngine(), Defaults()
	cfg.Access.Keys, _ = testenv.KeyFile(b, apikey.Key{Name: "a", Scopes: []string{"predict"}})
	cfg.Access.TrustedProxies = []string{"127.0.0.1"}
	log := slog.New(slog.NewJSONHandler(struct{ io.Writer }{io.Discard}, nil))
	server := New(cfg, openGuard(b, cfg, log), e, health.New(e, log), NewMetrics(Build{}), log)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := errors.Join(c.Close(), server.Shutdown(b.Context()), <-served); err != nil && b.Context().Err() == nil {
			b.Error(err)
		}
	})
	key := apikey.New()
	r := bufio.NewReader(c)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := fmt.Fprintf(c, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nX-API-Key: %s\r\nX-Forwarded-For: 10.%d.%d.%d\r\n"+
			"Content-Length: 5\r\n\r\nimage", key, i>>16&255, i>>8&255, i&255); err != nil {
			b.Fatal(err)
		}
		response, err := http.ReadResponse(r, nil)
		if err != nil || response.StatusCode != http.StatusUnauthorized {
			b.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			b.Fatal(err)
		}
	}
}

package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"fovea/health"
	"fovea/inference"
)

// conn is a recorder with deadlines, which it ignores.
type conn struct{ *httptest.ResponseRecorder }

func (conn) SetReadDeadline(time.Time) error { return nil }

// BenchmarkPredict measures a request without net/http and the engine: routing, admission, reading, metrics, the log line
// and the response. 100 KB is a typical image.
func BenchmarkPredict(b *testing.B) {
	img := bytes.Repeat([]byte("x"), 100_000)
	e := newEngine()
	answer, err := echo(b.Context(), inference.Request{Model: "boxes", Image: []byte("bus")})
	if err != nil {
		b.Fatal(err)
	}
	e.predict = func(context.Context, inference.Request) (*inference.Response, error) { return answer, nil }
	log := slog.New(slog.NewJSONHandler(struct{ io.Writer }{io.Discard}, nil))
	monitor := health.New(e, log)
	monitor.Loaded()
	contentType, form := parts("image=" + string(img))
	server := New(Defaults(), openGuard(b, Defaults(), log), e, monitor, NewMetrics(Build{}), log)
	for name, send := range map[string]struct {
		contentType string
		body        []byte
	}{
		"form=image":           {"image/jpeg", img},
		"form=image,size=200K": {"image/jpeg", bytes.Repeat([]byte("x"), 200_000)},
		"form=image,size=2M":   {"image/jpeg", bytes.Repeat([]byte("x"), 2_000_000)},
		"form=multipart":       {contentType, []byte(form)},
		"form=json":            {"application/json", []byte(images("", string(img)))},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(send.body)))
			r := httptest.NewRequest(http.MethodPost, "/v1/models/boxes/predict", nil)
			r.Header.Set("Content-Type", send.contentType)
			r.ContentLength = int64(len(send.body))
			body := bytes.NewReader(nil)
			w := conn{httptest.NewRecorder()}
			for b.Loop() {
				body.Reset(send.body)
				r.Body = io.NopCloser(body)
				w.Body.Reset()
				clear(w.Header())
				server.router.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}

// BenchmarkUpload measures a body over a connection, with net/http on both sides.
func BenchmarkUpload(b *testing.B) {
	e := newEngine()
	answer, err := echo(b.Context(), inference.Request{Model: "boxes", Image: []byte("bus")})
	if err != nil {
		b.Fatal(err)
	}
	e.predict = func(context.Context, inference.Request) (*inference.Response, error) { return answer, nil }
	log := slog.New(slog.DiscardHandler)
	monitor := health.New(e, log)
	monitor.Loaded()
	server := New(Defaults(), openGuard(b, Defaults(), log), e, monitor, NewMetrics(Build{}), log)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	transport := &http.Transport{WriteBufferSize: 64 << 10}
	client := &http.Client{Transport: transport}
	b.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := errors.Join(server.Shutdown(context.Background()), <-served); err != nil {
			b.Error(err)
		}
	})
	for _, size := range []int{10_000, 200_000, 2_000_000} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			body := bytes.Repeat([]byte("x"), size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				response, err := client.Post("http://"+l.Addr().String()+"/v1/models/boxes/predict", "image/jpeg", bytes.NewReader(body))
				if err != nil || response.StatusCode != http.StatusOK {
					b.Fatal(response, err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		})
	}
}

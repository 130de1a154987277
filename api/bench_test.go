package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"fovea/health"
	"fovea/inference"
)

// conn is a recorder with a connection's deadlines, which are left alone.
type conn struct{ *httptest.ResponseRecorder }

func (conn) SetReadDeadline(time.Time) error { return nil }

// BenchmarkPredict is what a request costs beside net/http and the engine: routing, admission, reading, metrics,
// the log line and the answer. Its 100 KB are a usual picture.
func BenchmarkPredict(b *testing.B) {
	picture := bytes.Repeat([]byte("x"), 100_000)
	e := newEngine()
	answer, err := echo(b.Context(), inference.Request{Model: "boxes", Image: []byte("bus")})
	if err != nil {
		b.Fatal(err)
	}
	e.predict = func(context.Context, inference.Request) (*inference.Response, error) { return answer, nil }
	log := slog.New(slog.NewJSONHandler(struct{ io.Writer }{io.Discard}, nil))
	monitor := health.New(e, log)
	monitor.Loaded()
	contentType, form := parts("image=" + string(picture))
	server := New(Defaults(), e, monitor, NewMetrics(Build{}), log)
	for name, send := range map[string]struct {
		contentType string
		body        []byte
	}{
		"form=picture":   {"image/jpeg", picture},
		"form=multipart": {contentType, []byte(form)},
		"form=json":      {"application/json", []byte(pictures("", string(picture)))},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(picture)))
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

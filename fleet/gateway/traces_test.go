package gateway

import (
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"fovea/internal/tracing"
	"fovea/internal/tracing/otlptest"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestTraceContextIsPassedOn expects the client's traceparent at the replica, or if the gateway traces, that of the gateway's span.
func TestTraceContextIsPassedOn(t *testing.T) {
	for _, traced := range []bool{false, true} {
		got := make(chan http.Header, 1)
		replica := server(t, "a", func(_ http.ResponseWriter, r *http.Request) { got <- r.Header })
		receiver := otlptest.Start(t)
		cfg := tracing.Defaults()
		if traced {
			cfg.Endpoint = receiver.HTTP
		}
		tracer, err := tracing.New(t.Context(), cfg, "fovea-gateway", "test", slog.Default())
		if err != nil {
			t.Fatal(err)
		}
		f := startTraced(t, tracer, nil, replica)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/predict", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Traceparent", traceparent)
		req.Header.Set("Tracestate", "vendor=1")
		if r := f.do(req); r.status != http.StatusOK {
			t.Fatal(r)
		}
		header, want := wait(t, "the replica's request", got), traceparent
		tracer.Close()
		if traced {
			span := receiver.Wait(t, 1)[0]
			want = "00-0af7651916cd43dd8448eb211c80319c-" + hex.EncodeToString(span.GetSpanId()) + "-01"
			if hex.EncodeToString(span.GetParentSpanId()) != "b7ad6b7169203331" || receiver.Service() != "fovea-gateway" {
				t.Errorf("the gateway's span is %v of %s", span, receiver.Service())
			}
		}
		if header.Get("Traceparent") != want || header.Get("Tracestate") != "vendor=1" {
			t.Errorf("traced %v: the replica got %q, %q; want %q", traced, header.Get("Traceparent"), header.Get("Tracestate"), want)
		}
	}
}

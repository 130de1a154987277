package tracing

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fovea/internal/config"
	"fovea/internal/testenv"
	"fovea/internal/tracing/otlptest"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
)

// post is a request with a traceparent, unless that is "".
func post(t *testing.T, traceparent string) *http.Request {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/models/a/predict", nil)
	if traceparent != "" {
		r.Header.Set("Traceparent", traceparent)
	}
	return r
}

func open(t *testing.T, cfg Config, log *slog.Logger) *Tracer {
	t.Helper()
	tracer, err := New(t.Context(), cfg, "fovea", "1.2.3", log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tracer.Close)
	return tracer
}

func TestSpansArriveOverHTTPAndGRPC(t *testing.T) {
	for _, protocol := range []string{"http", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=secret")
			receiver := otlptest.Start(t)
			endpoint := receiver.HTTP
			if protocol == "grpc" {
				endpoint = receiver.GRPC
			}
			tracer := open(t, Config{endpoint, protocol, 0}, slog.Default())
			r, span := tracer.Start(post(t, "00-"+traceID+"-"+spanID+"-01"), "/v1/models/:model/predict")
			other, _ := tracer.Start(post(t, "00-"+strings.Repeat("1", 32)+"-"+spanID+"-01"), "")
			began := time.Now().Add(-time.Second)
			StagesOf(r.Context()).Record("infer", began, began.Add(time.Millisecond), []Link{{}, StagesOf(other.Context()).Link()}, slog.Int("batch_size", 2))
			out := http.Header{}
			Inject(r.Context(), out)
			span.End(http.StatusServiceUnavailable, "queue_full", slog.String("model", "a"))
			tracer.Close()
			spans := receiver.Wait(t, 2)
			infer, request := spans[0], spans[1]
			checkRequest(t, request)
			checkInfer(t, infer, request, began)
			if want := "00-" + traceID + "-" + hex.EncodeToString(request.GetSpanId()) + "-01"; out.Get("Traceparent") != want {
				t.Errorf("traceparent sent on is %q, want %q", out.Get("Traceparent"), want)
			}
			if receiver.Header("X-Token") != "secret" || receiver.Service() != "fovea" {
				t.Errorf("received with token %q of service %q", receiver.Header("X-Token"), receiver.Service())
			}
		})
	}
}

func checkRequest(t *testing.T, s *trace.Span) {
	t.Helper()
	if s.GetName() != "POST /v1/models/:model/predict" || s.GetKind() != trace.Span_SPAN_KIND_SERVER || s.GetStatus().GetCode() != trace.Status_STATUS_CODE_ERROR ||
		hex.EncodeToString(s.GetTraceId()) != traceID || hex.EncodeToString(s.GetParentSpanId()) != spanID {
		t.Errorf("span of the request is %v", s)
	}
	for key, want := range map[string]string{
		"http.request.method": "POST", "url.path": "/v1/models/a/predict", "http.route": "/v1/models/:model/predict", "error.type": "queue_full", "model": "a",
	} {
		if got := otlptest.Attribute(s, key); got != want {
			t.Errorf("attribute %s is %q, want %q", key, got, want)
		}
	}
}

func checkInfer(t *testing.T, s, parent *trace.Span, began time.Time) {
	t.Helper()
	if s.GetName() != "infer" || string(s.GetParentSpanId()) != string(parent.GetSpanId()) || len(s.GetLinks()) != 1 ||
		hex.EncodeToString(s.GetLinks()[0].GetTraceId()) != strings.Repeat("1", 32) {
		t.Errorf("span of the stage is %v", s)
	}
	if s.GetStartTimeUnixNano() != uint64(began.UnixNano()) || s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano() != uint64(time.Millisecond) {
		t.Errorf("stage from %d to %d", s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano())
	}
}

func TestTraceparentAndRatioDecideWhatIsTraced(t *testing.T) {
	for _, tc := range []struct {
		name        string
		traceparent string
		ratio       float64
		traced      bool
	}{
		{"ratio 1", "", 1, true},
		{"ratio 0", "", 0, false},
		{"a sampled parent with ratio 0", "00-" + traceID + "-" + spanID + "-01", 0, true},
		{"a parent that is not sampled with ratio 1", "00-" + traceID + "-" + spanID + "-00", 1, false},
		{"a broken parent with ratio 0", "00-" + traceID + "-" + spanID, 0, false},
		{"a broken parent with ratio 1", "nonsense", 1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tracer := open(t, Config{otlptest.Start(t).HTTP, "http", tc.ratio}, slog.Default())
			r, span := tracer.Start(post(t, tc.traceparent), "")
			defer span.End(http.StatusOK, "")
			if traced := StagesOf(r.Context()) != nil; traced != tc.traced {
				t.Errorf("traced: %v, want %v", traced, tc.traced)
			}
		})
	}
}

func TestWithoutEndpointNothingIsTraced(t *testing.T) {
	tracer := open(t, Defaults(), slog.Default())
	in := post(t, "00-"+traceID+"-"+spanID+"-01")
	r, span := tracer.Start(in, "")
	if r != in || span != nil || StagesOf(r.Context()) != nil {
		t.Error("a request is traced")
	}
	StagesOf(r.Context()).Record("infer", time.Now(), time.Now(), []Link{StagesOf(r.Context()).Link()})
	span.End(http.StatusOK, "")
	out := http.Header{"Traceparent": {"as it was"}}
	if Inject(r.Context(), out); out.Get("Traceparent") != "as it was" {
		t.Error("the client's traceparent is replaced")
	}
}

func TestFailuresToSendAreLoggedOnce(t *testing.T) {
	receiver := otlptest.Start(t)
	receiver.Fail(http.StatusBadRequest) // not retried
	var log testenv.Buffer
	tracer := open(t, Config{receiver.HTTP, "http", 1}, slog.New(slog.NewTextHandler(&log, nil)))
	send := func() {
		_, span := tracer.Start(post(t, ""), "")
		span.End(http.StatusOK, "")
		if err := tracer.provider.ForceFlush(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}
	send()
	send()
	receiver.Fail(0)
	send()
	send()
	text := log.String()
	if strings.Count(text, "traces cannot be sent") != 1 || strings.Count(text, "traces are sent again") != 1 {
		t.Errorf("log:\n%s", text)
	}
}

func TestCloseEndsWithoutAReceiver(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the end of the connection is not noticed
		<-r.Context().Done()
	}))
	defer silent.Close()
	var log testenv.Buffer
	tracer := open(t, Config{silent.URL, "http", 1}, slog.New(slog.NewTextHandler(&log, nil)))
	_, span := tracer.Start(post(t, ""), "")
	span.End(http.StatusOK, "")
	tracer.Close()
	silent.CloseClientConnections()
	if !strings.Contains(log.String(), "were not sent") && !strings.Contains(log.String(), "cannot be sent") {
		t.Errorf("log: %s", log.String())
	}
}

func TestConfigCheck(t *testing.T) {
	for _, tc := range []struct{ name, endpoint, want string }{
		{"off", "", ""},
		{"http", "http://localhost:4318", ""},
		{"https with a path", "https://otlp.example/prefix/v1/traces", ""},
		{"without scheme", "localhost:4318", "endpoint: must be http://HOST:PORT, or https:// for TLS"},
		{"another scheme", "grpc://localhost:4317", "endpoint: must be http://HOST:PORT, or https:// for TLS"},
		{"credentials", "https://user:secret@otlp.example", "endpoint: contains credentials; put them into a header with the variable OTEL_EXPORTER_OTLP_HEADERS"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := Defaults()
			cfg.Endpoint = tc.endpoint
			got := ""
			if err := config.Check(&cfg); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

package main

import (
	"bytes"
	"encoding/hex"
	"net/http"
	"syscall"
	"testing"

	"fovea/internal/testenv"
	"fovea/internal/tracing/otlptest"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"
)

func TestRequestsAreTraced(t *testing.T) {
	const traceID, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	receiver := otlptest.Start(t)
	p := start(t, newRepository(t), "--traces.endpoint="+receiver.HTTP, "--traces.sample_ratio=0").waitReady()
	p.good() // not sampled
	header := http.Header{"Content-Type": {"image/jpeg"}, "Traceparent": {"00-" + traceID + "-" + parent + "-01"}, "X-Request-Id": {"one"}}
	if got, err := p.do("POST", predictPath, header, bytes.NewReader(testenv.Image(t, "coffee.jpg"))); err != nil || got.status != 200 {
		t.Fatal(got, err)
	}
	p.signal(syscall.SIGTERM) // sends what waits
	if status := p.ends(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	spans := map[string]*trace.Span{}
	for _, s := range receiver.Wait(t, 6) {
		if spans[s.GetName()] = s; hex.EncodeToString(s.GetTraceId()) != traceID {
			t.Errorf("span %s belongs to trace %x", s.GetName(), s.GetTraceId())
		}
	}
	request := spans["POST /v1/models/:model/predict"]
	if hex.EncodeToString(request.GetParentSpanId()) != parent {
		t.Errorf("the request's span has the parent %x", request.GetParentSpanId())
	}
	for _, stage := range []string{"queue", "decode", "preprocess", "infer", "postprocess"} {
		s := spans[stage]
		if string(s.GetParentSpanId()) != string(request.GetSpanId()) {
			t.Errorf("stage %s has the parent %x, want %x", stage, s.GetParentSpanId(), request.GetSpanId())
		}
		if s.GetStartTimeUnixNano() < request.GetStartTimeUnixNano() || s.GetEndTimeUnixNano() > request.GetEndTimeUnixNano() ||
			s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("stage %s is not within the request", stage)
		}
	}
	if decode, infer := spans["decode"], spans["infer"]; infer.GetStartTimeUnixNano() < decode.GetEndTimeUnixNano() {
		t.Error("the run began before the image was decoded")
	}
	for name, want := range map[string]string{"fovea.request_id": "one", "fovea.model": model, "fovea.version": "1"} {
		if got := otlptest.Attribute(request, name); got != want {
			t.Errorf("attribute %s is %q, want %q", name, got, want)
		}
	}
	if got := otlptest.Attribute(spans["infer"], "fovea.device"); got != "cpu" {
		t.Errorf("the run's device is %q", got)
	}
}

package v2grpc

import (
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	"fovea/api/v2grpc/pb"
	"fovea/internal/testenv"
	"fovea/internal/tracing"
	"fovea/internal/tracing/otlptest"
)

// TestOnlyInferenceIsLoggedAndTraced sends what machines poll next to requests for inference.
func TestOnlyInferenceIsLoggedAndTraced(t *testing.T) {
	receiver := otlptest.Start(t)
	cfg := tracing.Defaults()
	cfg.Endpoint = receiver.HTTP
	var log testenv.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	tracer, err := tracing.New(t.Context(), cfg, "fovea", "test", logger)
	if err != nil {
		t.Fatal(err)
	}
	s := openWith(t, roomy, Defaults(), "", func(p *Parts) { p.Log, p.Tracer = logger, tracer })
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if _, err := s.client.ServerReady(ctx, &pb.ServerReadyRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.ModelInfer(ctx, request("1", 1)); err != nil {
		t.Fatal(err)
	}
	wrong := request("2", 1)
	wrong.ModelName = "nope"
	if _, err := s.client.ModelInfer(ctx, wrong); err == nil {
		t.Fatal("a model that does not exist answers")
	}
	if err := s.Shutdown(t.Context()); err != nil { // spans end after the responses
		t.Fatal(err)
	}
	tracer.Close()
	requests := map[string]int{}
	for _, span := range receiver.Wait(t, 2) {
		if strings.HasPrefix(span.GetName(), "POST ") {
			failed := ""
			for _, a := range span.GetAttributes() {
				if a.GetKey() == "error.type" {
					failed = a.GetValue().GetStringValue()
				}
			}
			requests[span.GetName()+" "+failed]++
		}
	}
	const infer = "POST /inference.GRPCInferenceService/ModelInfer "
	if len(requests) != 2 || requests[infer] != 1 || requests[infer+"model_not_found"] != 1 {
		t.Errorf("traced: %v", requests)
	}
	if lines := strings.Count(log.String(), "msg=request"); lines != 2 || strings.Contains(log.String(), "ServerReady") {
		t.Errorf("log:\n%s", log.String())
	}
}

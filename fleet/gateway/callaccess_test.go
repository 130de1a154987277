package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"fovea/api/v2grpc/pb"
	"fovea/internal/apikey"
	"fovea/internal/testenv"
	"fovea/internal/tracing"
	"fovea/internal/tracing/otlptest"
)

func withKey(ctx context.Context, key string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "x-api-key", key)
}

func TestKeysOfCalls(t *testing.T) {
	path, keys := testenv.KeyFile(t, apikey.Key{Name: "all", Scopes: []string{"predict", "models"}},
		apikey.Key{Name: "camera", Scopes: []string{"predict"}, Models: []string{"m", "a,b"}},
		apikey.Key{Name: "slow", Scopes: []string{"predict"}, Rate: 0.01, Burst: 1},
		apikey.Key{Name: "single", Scopes: []string{"predict"}, Concurrent: 1})
	a := startReplica(t, "a", nil)
	f := startCalls(t, func(c *Config) { c.Access.Keys = path }, a.Replica)
	metadataOf := func(key string) error {
		_, err := f.ServerMetadata(withKey(t.Context(), key), &pb.ServerMetadataRequest{})
		return err
	}
	infer := func(key string) error {
		_, err := f.infer(withKey(t.Context(), key), "1")
		return err
	}
	for _, test := range []struct {
		name string
		err  error
		want codes.Code
	}{
		{"no key", func() error { _, err := f.infer(t.Context(), "1"); return err }(), codes.Unauthenticated},
		{"a wrong key", infer(apikey.New()), codes.Unauthenticated},
		{"a wrong key, with an unknown service", f.conn.Invoke(withKey(t.Context(), apikey.New()), "/a.B/C", &pb.ServerLiveRequest{}, &pb.ServerLiveResponse{}), codes.Unauthenticated},
		{"a key", infer(keys["all"]), codes.OK},
		{"metadata with the scope for it", metadataOf(keys["all"]), codes.OK},
		{"metadata without the scope", metadataOf(keys["camera"]), codes.PermissionDenied},
		{"a key at its rate", infer(keys["slow"]), codes.OK},
		{"a key above its rate", infer(keys["slow"]), codes.ResourceExhausted},
		{"liveness without a key", func() error { _, err := f.ServerLive(t.Context(), &pb.ServerLiveRequest{}); return err }(), codes.Unimplemented}, // by the replica
	} {
		if status.Code(test.err) != test.want {
			t.Errorf("%s: %v, want %s", test.name, test.err, test.want)
		}
	}
	if n := a.hits.Load(); n != 2 {
		t.Errorf("the replica got %d requests, want 2", n)
	}
	stream, err := f.ModelStreamInfer(withKey(t.Context(), apikey.New()))
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("a stream with a wrong key: %v", err)
	}
	m, err := f.ServerMetadata(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+keys["all"], "x-fovea-models", "m"), &pb.ServerMetadataRequest{})
	if err != nil || slices.ContainsFunc(m.GetExtensions(), func(s string) bool {
		return strings.Contains(s, "authorization") || strings.Contains(s, "x-api-key") || strings.Contains(s, "x-fovea-models")
	}) {
		t.Errorf("the replica sees %q, %v", m.GetExtensions(), err)
	}
	until(t, "the log", func() bool {
		return strings.Contains(f.log.String(), `"method":"gRPC","grpc_status":"OK","path":"/inference.GRPCInferenceService/ModelInfer","status":200`) && strings.Contains(f.log.String(), `"key":"all"`)
	})
	for _, secret := range keys {
		if strings.Contains(f.log.String(), secret[6:]) {
			t.Error("a key is in the log")
		}
	}
}

// The replica checks the models of a key, which are in messages that the gateway does not decode.
func TestModelsOfAKeyAreThoseOfItsCalls(t *testing.T) {
	path, keys := testenv.KeyFile(t, apikey.Key{Name: "camera", Scopes: []string{"predict", "models"}, Models: []string{"m", "a,b"}})
	f := startCalls(t, func(c *Config) { c.Access.Keys = path }, replicasOf(startReplica(t, "a", nil))...)
	m, err := f.ServerMetadata(metadata.AppendToOutgoingContext(withKey(t.Context(), keys["camera"]), "x-fovea-models", "others"), &pb.ServerMetadataRequest{})
	if err != nil || !slices.Contains(m.GetExtensions(), strconv.Quote("x-fovea-models=m,a%2Cb")) || len(slices.DeleteFunc(m.GetExtensions(), func(s string) bool { return !strings.Contains(s, "x-fovea-models") })) != 1 {
		t.Errorf("the replica sees %q, %v", m.GetExtensions(), err)
	}
}

// Each message of a stream is a request: it waits while its key is at its rate or number of requests in flight.
func TestLimitsOfAStream(t *testing.T) {
	path, keys := testenv.KeyFile(t, apikey.Key{Name: "rate", Scopes: []string{"predict"}, Rate: 20, Burst: 1},
		apikey.Key{Name: "slow", Scopes: []string{"predict"}, Rate: 0.001, Burst: 1},
		apikey.Key{Name: "single", Scopes: []string{"predict"}, Concurrent: 1})
	gate := make(chan struct{})
	a := startHolding(t, "a", gate)
	f := startCalls(t, func(c *Config) { c.Access.Keys, c.Access.OpenMetrics = path, true }, a.Replica)
	open := func(key string) inferStream {
		ctx, cancel := context.WithTimeout(withKey(t.Context(), keys[key]), testTimeout)
		t.Cleanup(cancel)
		stream, err := f.ModelStreamInfer(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	limited := open("rate")
	for i := range 6 {
		exchange(t, limited, itoa(i), "a")
	}
	slow, refused := open("slow"), f.metric(t, rateRefusals)
	exchange(t, slow, "1", "a")
	if err := slow.Send(&pb.ModelInferRequest{ModelName: "m", Id: "2"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the second message waits", func() bool { return f.metric(t, rateRefusals) != refused })
	single := open("single")
	for _, id := range []string{"hold", "next"} {
		if err := single.Send(&pb.ModelInferRequest{ModelName: "m", Id: id}); err != nil {
			t.Fatal(err)
		}
	}
	before := int64(7)
	until(t, "the first is held", func() bool { return a.hits.Load() == before+1 })
	if _, err := f.infer(withKey(t.Context(), keys["single"]), "1"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a second request in flight: %v", err)
	}
	close(gate)
	for _, id := range []string{"hold", "next"} {
		if m, err := single.Recv(); err != nil || m.GetInferResponse().GetId() != id {
			t.Fatalf("%s: %v, %v", id, m, err)
		}
	}
	until(t, "nothing is in flight", func() bool {
		_, err := f.infer(withKey(t.Context(), keys["single"]), "1")
		return err == nil
	})
}

const rateRefusals = `fovea_access_refused_total{reason="rate"}`

func TestTLSOfCalls(t *testing.T) {
	ca, dir := testenv.NewCA(t), t.TempDir()
	certificate, key := ca.Files(dir, "gateway")
	f := startCalls(t, func(c *Config) {
		c.TLS.Certificate, c.TLS.Key, c.TLS.ClientCA, c.TLS.ClientNames = certificate, key, ca.File(dir), []string{"camera"}
	}, replicasOf(startReplica(t, "a", nil))...)
	infer := func(client tls.Certificate) error {
		conn := dialCalls(t, f.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{client}})))
		stream, err := pb.NewGRPCInferenceServiceClient(conn).ModelStreamInfer(t.Context())
		if err != nil {
			return err
		}
		if err := stream.Send(inference("1", 100_000)); err != nil {
			_, err = stream.Recv()
			return err
		}
		_, err = stream.Recv()
		return err
	}
	if err := infer(ca.Pair("camera")); err != nil {
		t.Errorf("an allowed client: %v", err)
	}
	if err := infer(ca.Pair("printer")); status.Code(err) != codes.Unavailable {
		t.Errorf("another client: %v", err)
	}
	if _, err := f.infer(t.Context(), "1"); status.Code(err) != codes.Unavailable {
		t.Errorf("without TLS: %v", err)
	}
}

func TestHealthOfTheGateway(t *testing.T) {
	a := startReplica(t, "a", nil)
	f := startCalls(t, nil)
	client := healthpb.NewHealthClient(f.conn)
	check := func(service string, want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		if m, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service}); err != nil || m.GetStatus() != want {
			t.Errorf("%q: %v, %v", service, m, err)
		}
	}
	check("", healthpb.HealthCheckResponse_NOT_SERVING)
	watch, err := client.Watch(t.Context(), &healthpb.HealthCheckRequest{Service: "inference.GRPCInferenceService"})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		if m, err := watch.Recv(); err != nil || m.GetStatus() != want {
			t.Fatalf("%v, %v; want %s", m, err, want)
		}
	}
	expect(healthpb.HealthCheckResponse_NOT_SERVING)
	setReplicas(t, f.balancer, a.Replica)
	check("", healthpb.HealthCheckResponse_SERVING)
	check("inference.GRPCInferenceService", healthpb.HealthCheckResponse_SERVING)
	expect(healthpb.HealthCheckResponse_SERVING)
	if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "other"}); status.Code(err) != codes.NotFound {
		t.Errorf("another service: %v", err)
	}
	f.Drain()
	if m, err := watch.Recv(); err == nil {
		if m.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
			t.Errorf("while it drains: %v", m)
		}
		_, err = watch.Recv()
		if status.Code(err) != codes.Unavailable {
			t.Errorf("the end: %v", err)
		}
	} else if status.Code(err) != codes.Unavailable {
		t.Errorf("the end: %v", err)
	}
	check("", healthpb.HealthCheckResponse_NOT_SERVING)
}

// A call is a span of the gateway's, and the replica's continues it.
func TestCallsAreTraced(t *testing.T) {
	receiver := otlptest.Start(t)
	cfg := tracing.Defaults()
	cfg.Endpoint = receiver.HTTP
	tracer, err := tracing.New(t.Context(), cfg, "fovea-gateway", "test", slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	a := startReplica(t, "a", func(ctx context.Context, m *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		seen = md.Get("traceparent")
		return answerTo("a", m), nil
	})
	f := serveCalls(t, startTraced(t, tracer, nil, a.Replica))
	if _, err := f.infer(metadata.AppendToOutgoingContext(t.Context(), "traceparent", traceparent), "1"); err != nil {
		t.Fatal(err)
	}
	until(t, "the end of the call", func() bool { return f.inFlight.Load() == 0 })
	tracer.Close()
	span := receiver.Wait(t, 1)[0]
	want := "00-0af7651916cd43dd8448eb211c80319c-" + hex.EncodeToString(span.GetSpanId()) + "-01"
	if !slices.Equal(seen, []string{want}) || hex.EncodeToString(span.GetParentSpanId()) != "b7ad6b7169203331" || !strings.Contains(span.GetName(), "ModelInfer") {
		t.Errorf("the replica got %v, the span is %v", seen, span)
	}
}

// messageBytes is a message with its prefix.
func messageBytes(compressed byte, payload string) []byte {
	n := len(payload)
	return append([]byte{compressed, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, payload...)
}

func TestAnswers(t *testing.T) {
	stream := slices.Concat(messageBytes(0, "\x12\x00"), messageBytes(0, ""), messageBytes(0, "\x0a\x01x"), messageBytes(1, "\x0azip"), messageBytes(0, strings.Repeat("x", 70_000)))
	want := []bool{false, false, true, false, false}
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 0))
		var a answers
		var got []bool
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN(10+int(seed)*100))
			a.add(rest[:n], func(failed bool) { got = append(got, failed) })
			rest = rest[n:]
		}
		if !slices.Equal(got, want) || !a.between() {
			t.Fatalf("seed %d: %v, between %v", seed, got, a.between())
		}
	}
}

// How a response is cut into reads does not matter.
func FuzzAnswers(f *testing.F) {
	f.Add(messageBytes(0, "\x0aerror"), uint8(1))
	f.Add(bytes.Repeat(messageBytes(1, "xy"), 3), uint8(4))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		var whole, parts answers
		var one, other []bool
		whole.add(stream, func(failed bool) { one = append(one, failed) })
		for piece := range slices.Chunk(stream, int(size)+1) {
			parts.add(piece, func(failed bool) { other = append(other, failed) })
		}
		if !slices.Equal(one, other) || whole.between() != parts.between() || whole.left != parts.left {
			t.Errorf("%v and %v", one, other)
		}
	})
}

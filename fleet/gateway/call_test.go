package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"fovea/api/v2grpc/pb"
	"fovea/internal/testenv"
)

// Metadata, the deadline and trailers pass through in both directions.
func TestCallIsPassedOn(t *testing.T) {
	f := startCalls(t, nil, replicasOf(startReplica(t, "a", nil))...)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "one", "1", "one", "2", "raw-bin", "\x00\xff", "x-request-id", "my-id", "x-forwarded-for", "203.0.113.9",
		"traceparent", traceparent)
	var header, trailer metadata.MD
	m, err := f.ServerMetadata(ctx, &pb.ServerMetadataRequest{}, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one=1", "one=2", "raw-bin=\x00\xff", "x-request-id=my-id", "x-forwarded-for=127.0.0.1", "traceparent=" + traceparent,
		":authority=" + f.address, "content-type=application/grpc"} {
		if !slices.Contains(m.GetExtensions(), strconv.QuoteToASCII(want)) {
			t.Errorf("the replica did not get %q, but %q", want, m.GetExtensions())
		}
	}
	for _, got := range m.GetExtensions() {
		if name, _, _ := strings.Cut(strings.Trim(got, `"`), "="); name == "x-forwarded-for" && !strings.HasSuffix(got, `127.0.0.1"`) {
			t.Errorf("the replica got %q", got)
		}
	}
	if left, err := time.ParseDuration(m.GetVersion()); err != nil || left <= 0 || left > testTimeout {
		t.Errorf("the replica's deadline is in %q", m.GetVersion())
	}
	if header.Get("header")[0] != "h" || header.Get("header-bin")[0] != "\x00\xff" {
		t.Errorf("headers %v", header)
	}
	if !slices.Equal(trailer.Get("last"), []string{"t1", "t2"}) || trailer.Get("last-bin")[0] != "\x01\xfe" {
		t.Errorf("trailers %v", trailer)
	}
}

// An error of the replica is the client's, with its message and details, whether or not headers precede it.
func TestStatusIsPassedOn(t *testing.T) {
	a := startReplica(t, "a", func(context.Context, *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
		s, err := status.New(codes.InvalidArgument, "ü is 100 % wrong\n").WithDetails(&errdetails.ErrorInfo{Reason: "WRONG"})
		if err != nil {
			return nil, err
		}
		return nil, s.Err()
	})
	f := startCalls(t, nil, a.Replica)
	_, err := f.infer(t.Context(), "1")
	s := status.Convert(err)
	if s.Code() != codes.InvalidArgument || s.Message() != "ü is 100 % wrong\n" || len(s.Details()) != 1 {
		t.Errorf("%v with %v", err, s.Details())
	}
	until(t, "the metric", func() bool {
		return f.metric(t, `fovea_gateway_requests_total{replica="a",status="400"}`) == "1"
	})
	if _, err := f.RepositoryIndex(t.Context(), &pb.RepositoryIndexRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("a method that the replica does not have: %v", err)
	}
}

func TestLargeAndCompressedMessages(t *testing.T) {
	f := startCalls(t, nil, replicasOf(startReplica(t, "a", nil))...)
	for _, size := range []int{0, 1, firstBytes - prefixSize, firstBytes, 4 << 10, 100 << 10, 5 << 20} {
		for _, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor(gzip.Name)}} {
			sent := inference("x", size)
			for i := range sent.RawInputContents[0] {
				sent.RawInputContents[0][i] = byte(i * 7)
			}
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			m, err := f.ModelInfer(ctx, sent, options...)
			cancel()
			if err != nil || !bytes.Equal(m.GetRawOutputContents()[0], sent.RawInputContents[0]) {
				t.Errorf("%d bytes, %d options: %v", size, len(options), err)
			}
		}
	}
	until(t, "the end of the calls", func() bool { return f.inFlight.Load() == 0 })
	if n := f.admission.Requests(); n != 0 {
		t.Errorf("%d messages are still counted", n)
	}
	if n := f.retrier.memory.used.Load(); n != 0 {
		t.Errorf("%d bytes are still kept", n)
	}
}

// A replica keeps a connection for further calls, and serves one call at a time on each.
func TestConnectionsForCallsAreKept(t *testing.T) {
	gate := make(chan struct{})
	a := startHolding(t, "a", gate)
	f := startCalls(t, nil, a.Replica)
	for range 50 {
		if _, err := f.infer(t.Context(), "1"); err != nil {
			t.Fatal(err)
		}
	}
	if n := a.opened.Load(); n != 1 {
		t.Errorf("%d connections for calls one after the other", n)
	}
	ended := make(chan error)
	for range 3 {
		go func() {
			_, err := f.infer(t.Context(), "hold")
			ended <- err
		}()
	}
	until(t, "all calls are held", func() bool { return a.hits.Load() == 53 })
	if n := a.opened.Load(); n != 3 {
		t.Errorf("%d connections for 3 calls at once", n)
	}
	close(gate)
	for range 3 {
		if err := wait(t, "an answer", ended); err != nil {
			t.Error(err)
		}
	}
}

func TestReflectionIsForwarded(t *testing.T) {
	f := startCalls(t, nil, replicasOf(startReplica(t, "a", nil))...)
	stream, err := reflectionpb.NewServerReflectionClient(f.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 * streamMessages {
		if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Recv(); err != nil || len(m.GetListServicesResponse().GetService()) < 2 {
			t.Fatalf("%v, %v", m, err)
		}
	}
	_ = stream.CloseSend()
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestWhatIsNotForwarded(t *testing.T) {
	a := startReplica(t, "a", nil)
	f := startCalls(t, nil, a.Replica)
	err := f.conn.Invoke(t.Context(), "/other.Service/Method", &pb.ServerLiveRequest{}, &pb.ServerLiveResponse{})
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "/other.Service/Method") {
		t.Errorf("another service: %v", err)
	}
	res, err := http.Post("http://"+f.address+inferenceService+"ModelInfer", "application/grpc", strings.NewReader("x"))
	if err != nil || res.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("HTTP/1: %v, %v", res, err)
	}
	if err == nil {
		_ = res.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	for text, want := range map[string]string{"soon": "3", "123456789S": "3", "1": "3", "1S": ""} {
		if got := postCall(t, f.address, inferenceService+"ModelInfer", http.Header{"Grpc-Timeout": {text}}).Get("Grpc-Status"); got != want {
			t.Errorf("grpc-timeout %q: status %q", text, got)
		}
	}
	if a.hits.Load() != 0 {
		t.Errorf("the replica got %d requests", a.hits.Load())
	}
}

func TestCallsWithoutReplicas(t *testing.T) {
	f := startCalls(t, nil)
	if _, err := f.infer(t.Context(), "1"); status.Code(err) != codes.Unavailable {
		t.Errorf("no replica: %v", err)
	}
	setReplicas(t, f.balancer, server(t, "http-only", echo(new(atomic.Int64))))
	if _, err := f.infer(t.Context(), "1"); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no replica is ready") {
		t.Errorf("a replica without gRPC: %v", err)
	}
	if s := f.balancer.Status()[0]; s.State != Ready {
		t.Errorf("a replica without gRPC is %s", s.State)
	}
}

// postCall sends a call without a message, and returns the headers of the response.
func postCall(t *testing.T, address, path string, header http.Header) http.Header {
	t.Helper()
	transport := testenv.HTTP2()
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	header.Set("Content-Type", "application/grpc+proto")
	req.Header = header
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.Header
}

// The replica learns that a client is gone, and of its deadline; neither counts against the replica.
func TestCanceledCalls(t *testing.T) {
	over := make(chan error, 1)
	a := startReplica(t, "a", nil)
	a.answer = func(ctx context.Context, m *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
		err := a.hold(ctx, nil)
		if m.GetId() == "cancel" {
			over <- err
		}
		return nil, err
	}
	f := startCalls(t, nil, a.Replica)
	for range failureThreshold {
		ctx, cancel := context.WithCancel(t.Context())
		before, ended := a.hits.Load(), make(chan error)
		go func() {
			_, err := f.infer(ctx, "cancel")
			ended <- err
		}()
		until(t, "the replica has the call", func() bool { return a.hits.Load() > before })
		cancel()
		if err := wait(t, "the call ends", ended); status.Code(err) != codes.Canceled {
			t.Error(err)
		}
		if err := wait(t, "the replica's call ends", over); !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := f.infer(ctx, "deadline"); status.Code(err) != codes.DeadlineExceeded {
			t.Error(err)
		}
		cancel()
	}
	until(t, "the end of the calls", func() bool { return f.inFlight.Load() == 0 })
	if s := f.balancer.Status()[0]; s.Bad != 0 || s.State != Ready || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
}

// rawCall is a replica of HTTP/2 that answers each stream with given frames.
func rawCalls(t *testing.T, id string, serve func(c net.Conn, r *bufio.Reader)) Replica {
	t.Helper()
	r := raw(t, id, serve)
	r.GRPC = strings.TrimPrefix(r.URL, "http://")
	return r
}

// frame is a frame of HTTP/2.
func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	b = append(b, flags)
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// onHeaders answers the headers of the first stream with frames.
func onHeaders(answer ...[]byte) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		_, _ = c.Write(frame(4, 0, 0)) // SETTINGS
		_, _ = r.Discard(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
		for {
			head := make([]byte, 9)
			if _, err := io.ReadFull(r, head); err != nil {
				return
			}
			_, _ = r.Discard(int(binary.BigEndian.Uint32(head) >> 8))
			if head[3] == 1 { // HEADERS
				_, _ = c.Write(bytes.Join(answer, nil))
				_, _ = io.Copy(io.Discard, r)
				return
			}
		}
	}
}

// What happens to a call whose first replica misbehaves while others are ready.
func TestRetryOfCalls(t *testing.T) {
	big, huge := 600<<10, 3<<20 // more than is kept here
	fails := func(code codes.Code) func(*testing.T) Replica {
		return func(t *testing.T) Replica {
			return startReplica(t, "first", func(context.Context, *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
				return nil, status.Error(code, "for a test")
			}).Replica
		}
	}
	closes := func(after func(net.Conn, *bufio.Reader)) func(*testing.T) Replica {
		return func(t *testing.T) Replica { return rawCalls(t, "first", after) }
	}
	gone := func(t *testing.T) Replica {
		r := goneReplica(t, "first")
		r.GRPC = strings.TrimPrefix(r.URL, "http://")
		return r
	}
	dies := func(t *testing.T) Replica {
		r := startReplica(t, "first", nil)
		r.answer = func(context.Context, *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
			_ = r.http.Close()
			return nil, status.Error(codes.Aborted, "too late")
		}
		return r.Replica
	}
	waits := func(t *testing.T) Replica {
		r := startReplica(t, "first", nil)
		r.answer = func(ctx context.Context, m *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
			return nil, r.hold(ctx, nil)
		}
		return r.Replica
	}
	for name, c := range map[string]struct {
		first  func(*testing.T) Replica
		size   int
		others int
		code   codes.Code
		tried  int64 // requests that the others get
		reason string
	}{
		"refused":                                {gone, big, 1, codes.OK, 1, "dial"},
		"refused, and the message is not kept":   {gone, huge, 1, codes.OK, 1, "dial"},
		"refused, no other":                      {gone, 1, 0, codes.Unavailable, 0, "dial"},
		"closed before the headers":              {closes(func(net.Conn, *bufio.Reader) {}), 1, 2, codes.OK, 1, ""},
		"closed within the message":              {closes(func(_ net.Conn, r *bufio.Reader) { _, _ = r.Discard(30_000) }), big, 2, codes.OK, 1, "lost"},
		"refused stream":                         {closes(onHeaders(frame(3, 0, 1, 0, 0, 0, refusedStream))), 1, 1, codes.OK, 1, "stale"},
		"GOAWAY that leaves the stream out":      {closes(onHeaders(frame(7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))), 1, 1, codes.OK, 1, "stale"},
		"lost with the whole message":            {dies, 1, 2, codes.OK, 1, "lost"},
		"lost with the whole message, one other": {dies, 1, 1, codes.Unavailable, 0, "lost"},
		"unavailable":                            {fails(codes.Unavailable), big, 1, codes.OK, 1, "unavailable"},
		"unavailable, no other":                  {fails(codes.Unavailable), big, 0, codes.Unavailable, 0, "unavailable"},
		"no answer in time":                      {waits, big, 1, codes.OK, 1, "timeout"},
		"no answer in time, no other":            {waits, 1, 0, codes.DeadlineExceeded, 0, "timeout"},
		"resource exhausted is an answer":        {fails(codes.ResourceExhausted), 1, 1, codes.ResourceExhausted, 0, ""},
		"internal is an answer":                  {fails(codes.Internal), 1, 1, codes.Internal, 0, ""},
		"deadline exceeded is an answer":         {fails(codes.DeadlineExceeded), 1, 1, codes.DeadlineExceeded, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replicas := []Replica{c.first(t)}
			var hits atomic.Int64
			for i := range c.others {
				id := "other" + itoa(i)
				replicas = append(replicas, startReplica(t, id, func(_ context.Context, m *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
					hits.Add(1)
					return answerTo(id, m), nil
				}).Replica)
			}
			f := startCalls(t, func(cfg *Config) {
				cfg.ReplayMemory = 8 << 20
				if c.reason == "timeout" {
					cfg.ResponseTimeout = time.Second
				}
			}, replicas...)
			f.retrier.spareTimeout = 50 * time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			m, err := f.ModelInfer(ctx, inference("id", c.size))
			if status.Code(err) != c.code {
				t.Fatalf("%v, want %s", err, c.code)
			}
			if err == nil && (m.GetId() != "id" || len(m.GetRawOutputContents()[0]) != c.size) {
				t.Errorf("answered with %s and %d bytes", m.GetId(), len(m.GetRawOutputContents()[0]))
			}
			if hits.Load() != c.tried {
				t.Errorf("the others got %d requests, want %d", hits.Load(), c.tried)
			}
			if c.reason != "" {
				until(t, c.reason, func() bool {
					return f.metric(t, `fovea_gateway_upstream_errors_total{reason="`+c.reason+`"}`) == "1"
				})
			}
			until(t, "the end of the call", func() bool { return f.inFlight.Load() == 0 })
			if used := f.retrier.memory.used.Load(); used != 0 || f.admission.Requests() != 0 || f.calls.open.Requests() != 0 {
				t.Errorf("%d bytes are still kept; %d messages and %d calls are counted", used, f.admission.Requests(), f.calls.open.Requests())
			}
		})
	}
}

// A replica that hangs is found as with HTTP: it does not answer /health either.
func TestUnresponsiveReplicaOfACall(t *testing.T) {
	frozen := freezable(t, "frozen")
	stuck := startReplica(t, "frozen", nil)
	stuck.answer = func(ctx context.Context, m *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
		frozen.freeze()
		return nil, stuck.hold(ctx, nil)
	}
	t.Cleanup(frozen.thaw)
	other := startReplica(t, "other", nil)
	f := startCalls(t, func(c *Config) { c.UnresponsiveAfter = 400 * time.Millisecond }, Replica{"frozen", frozen.URL, stuck.GRPC}, other.Replica)
	for range 2 {
		if m, err := f.infer(t.Context(), "1"); err != nil || m.GetModelName() != "other" {
			t.Errorf("%v, %v", m, err)
		}
	}
	if got := f.metric(t, `fovea_gateway_upstream_errors_total{reason="unresponsive"}`); got != "1" {
		t.Errorf("unresponsive %s times", got)
	}
}

// A message with which replicas were lost is refused, whether it comes alone or in a stream.
func TestPoisonMessage(t *testing.T) {
	var replicas []*callReplica
	for i := range 4 {
		r := startReplica(t, "r"+itoa(i), nil)
		r.answer = func(_ context.Context, m *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
			if m.GetId() == "poison" {
				_ = r.http.Close()
				return nil, status.Error(codes.Aborted, "too late")
			}
			return answerTo(r.ID, m), nil
		}
		replicas = append(replicas, r)
	}
	f := startCalls(t, nil, replicasOf(replicas...)...)
	f.retrier.spareTimeout = 50 * time.Millisecond
	if _, err := f.infer(t.Context(), "poison"); status.Code(err) != codes.Unavailable {
		t.Fatalf("the first: %v", err)
	}
	if _, err := f.infer(t.Context(), "poison"); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "refused temporarily") {
		t.Errorf("the second: %v", err)
	}
	stream, err := f.ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"good", "poison"} {
		_ = stream.Send(&pb.ModelInferRequest{ModelName: "m", Id: id})
	}
	if m, err := stream.Recv(); err != nil || m.GetInferResponse().GetId() != "good" {
		t.Errorf("a good message of a stream: %v, %v", m, err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("in a stream: %v", err)
	}
	hits := int64(0)
	for _, r := range replicas {
		hits += r.hits.Load()
	}
	if hits != 3 {
		t.Errorf("the replicas got %d requests, want 3", hits)
	}
}

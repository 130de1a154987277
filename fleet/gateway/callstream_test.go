package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fovea/api/v2grpc/pb"
)

type inferStream = grpc.BidiStreamingClient[pb.ModelInferRequest, pb.ModelStreamInferResponse]

// open opens a stream that ends with the test.
func (c *callFixture) open(t testing.TB) inferStream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	stream, err := c.ModelStreamInfer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// exchange sends a request and expects its answer, from a replica.
func exchange(t testing.TB, stream inferStream, id, replica string) {
	t.Helper()
	if err := stream.Send(&pb.ModelInferRequest{ModelName: "m", Id: id}); err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	m, err := stream.Recv()
	if err != nil || m.GetInferResponse().GetId() != id || replica != "" && m.GetInferResponse().GetModelName() != replica {
		t.Fatalf("%s: %v, %v; want an answer of %q", id, m, err, replica)
	}
}

func TestStream(t *testing.T) {
	a := startReplica(t, "a", nil)
	f := startCalls(t, nil, a.Replica)
	stream := f.open(t)
	for i := range 100 {
		exchange(t, stream, itoa(i), "a")
	}
	go func() {
		for i := range 50 {
			if err := stream.Send(inference(itoa(i), 10_000)); err != nil {
				t.Errorf("message %d: %v", i, err)
			}
		}
		_ = stream.CloseSend()
	}()
	for i := range 50 {
		if m, err := stream.Recv(); err != nil || m.GetInferResponse().GetId() != itoa(i) || len(m.GetInferResponse().GetRawOutputContents()[0]) != 10_000 {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
	until(t, "the end of the call", func() bool { return f.inFlight.Load() == 0 })
	if s := f.balancer.Status()[0]; s.Good != 150 || s.Bad != 0 || s.InFlight != 0 || a.streams.Load() != 1 {
		t.Errorf("%+v, %d streams at the replica", s, a.streams.Load())
	}
	if n := f.admission.Requests() + f.calls.open.Requests(); n != 0 {
		t.Errorf("%d are still counted", n)
	}
}

// An answer that says that its request has failed counts neither for nor against the replica.
func TestErrorsInAStream(t *testing.T) {
	a := startReplica(t, "a", func(context.Context, *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
		return nil, errors.New("wrong")
	})
	f := startCalls(t, nil, a.Replica)
	stream := f.open(t)
	for range 3 {
		_ = stream.Send(&pb.ModelInferRequest{ModelName: "m"})
		if m, err := stream.Recv(); err != nil || m.GetErrorMessage() != "wrong" {
			t.Fatal(m, err)
		}
	}
	if s := f.balancer.Status()[0]; s.Good != 0 || s.Bad != 0 {
		t.Errorf("%+v", s)
	}
}

// A stream whose replica leaves rotation continues at another one. No message is lost, and none is sent twice.
func TestStreamMovesToAnotherReplica(t *testing.T) {
	for name, leave := range map[string]func(*testing.T, *callFixture, Replica){
		"drained": func(t *testing.T, f *callFixture, _ Replica) {
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			if err := f.balancer.Drain(ctx, "a"); err != nil {
				t.Error(err)
			}
		},
		"removed": func(t *testing.T, f *callFixture, b Replica) {
			setReplicas(t, f.balancer, b)
			until(t, "the stream leaves", func() bool { return f.balancer.InFlight("a") == 0 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			gate := make(chan struct{})
			a, b := startHolding(t, "a", gate), startReplica(t, "b", nil)
			f := startCalls(t, nil, replicasOf(a, b)...)
			idle, busy := f.open(t), f.open(t)
			exchange(t, idle, "1", "a")
			f.balancer.coolDown(f.balancer.listed[1]) // so that the second stream is at the first replica, too
			exchange(t, busy, "1", "a")
			if err := busy.Send(&pb.ModelInferRequest{ModelName: "m", Id: "hold"}); err != nil {
				t.Fatal(err)
			}
			until(t, "the message is held", func() bool { return a.hits.Load() == 3 })
			left := make(chan struct{})
			go func() {
				defer close(left)
				leave(t, f, b.Replica)
			}()
			until(t, "the idle stream leaves", func() bool { return f.balancer.InFlight("a") == 1 })
			close(gate)
			if m, err := busy.Recv(); err != nil || m.GetInferResponse().GetModelName() != "a" {
				t.Fatalf("the message that was held: %v, %v", m, err)
			}
			wait(t, "the replica has left", left)
			for _, id := range []string{"2", "3"} {
				exchange(t, idle, id, "b")
				exchange(t, busy, id, "b")
			}
			for _, s := range []inferStream{idle, busy} {
				_ = s.CloseSend()
				if _, err := s.Recv(); !errors.Is(err, io.EOF) {
					t.Errorf("the end: %v", err)
				}
			}
			if a.hits.Load() != 3 || b.hits.Load() != 4 {
				t.Errorf("%d and %d messages", a.hits.Load(), b.hits.Load())
			}
		})
	}
}

// Streams that are full of messages lose none while replicas are drained one after the other.
func TestRolloutUnderStreams(t *testing.T) {
	a, b := startReplica(t, "a", nil), startReplica(t, "b", nil)
	f := startCalls(t, nil, replicasOf(a, b)...)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	sent := make([]int, 4)
	for i := range sent {
		stream := f.open(t)
		clients.Go(func() {
			var received sync.WaitGroup
			received.Go(func() {
				for n := 0; ; n++ {
					m, err := stream.Recv()
					if errors.Is(err, io.EOF) && n == sent[i] {
						return
					}
					if err != nil || m.GetInferResponse().GetId() != itoa(n) {
						t.Errorf("answer %d of %d: %v, %v", n, sent[i], m.GetInferResponse().GetId(), err)
						return
					}
				}
			})
			defer received.Wait()
			defer func() { _ = stream.CloseSend() }()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				sent[i] = n + 1
				if err := stream.Send(inference(itoa(n), 1000)); err != nil {
					t.Errorf("message %d: %v", n, err)
					return
				}
			}
		})
	}
	for range 10 {
		for i, replica := range []*callReplica{a, b} {
			before := replica.hits.Load()
			until(t, "messages", func() bool { return replica.hits.Load() > before+20 || t.Failed() })
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			if err := f.balancer.Drain(ctx, replica.ID); err != nil {
				t.Error(err)
			}
			cancel()
			other := []*callReplica{b, a}[i]
			setReplicas(t, f.balancer, other.Replica)
			setReplicas(t, f.balancer, a.Replica, b.Replica)
			_ = other
		}
	}
	close(stop)
	clients.Wait()
}

// What becomes of a stream whose replica is lost depends on what it has answered.
func TestStreamWhoseReplicaIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		before int  // answers before the loss
		held   bool // a message has no answer
		code   codes.Code
	}{
		"before the first answer": {0, true, codes.OK},
		"idle":                    {3, false, codes.OK},
		"after an answer":         {3, true, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			var replicas []*callReplica
			for _, id := range []string{"a", "b", "c"} {
				r := startReplica(t, id, nil)
				r.answer = func(ctx context.Context, m *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
					if m.GetId() == "hold" && id == "a" {
						return nil, r.hold(ctx, nil)
					}
					return answerTo(id, m), nil
				}
				replicas = append(replicas, r)
			}
			f := startCalls(t, nil, replicasOf(replicas...)...)
			stream := f.open(t)
			for i := range c.before {
				exchange(t, stream, itoa(i), "a")
			}
			if c.held {
				if err := stream.Send(&pb.ModelInferRequest{ModelName: "m", Id: "hold"}); err != nil {
					t.Fatal(err)
				}
				until(t, "the message is held", func() bool { return replicas[0].hits.Load() == int64(c.before)+1 })
			}
			replicas[0].kill()
			until(t, "the loss is noticed", func() bool { return f.balancer.InFlight("a") == 0 })
			if c.held {
				m, err := stream.Recv()
				if status.Code(err) != c.code || err == nil && m.GetInferResponse().GetId() != "hold" {
					t.Fatalf("%v, %v", m, err)
				}
			}
			if c.code == codes.OK {
				exchange(t, stream, "last", "")
				_ = stream.CloseSend()
				if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
					t.Errorf("the end: %v", err)
				}
			}
		})
	}
}

// A gateway that shuts down lets a stream's messages be answered, and then ends it.
func TestShutdownEndsStreams(t *testing.T) {
	gate := make(chan struct{})
	a := startHolding(t, "a", gate)
	f := startCalls(t, nil, a.Replica)
	unused, idle, busy := f.open(t), f.open(t), f.open(t)
	exchange(t, idle, "1", "a")
	_ = busy.Send(&pb.ModelInferRequest{ModelName: "m", Id: "hold"})
	unary := make(chan error, 1)
	go func() {
		_, err := f.infer(t.Context(), "hold")
		unary <- err
	}()
	until(t, "the messages are held", func() bool { return a.hits.Load() == 3 && f.inFlight.Load() == 4 })
	shut := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		shut <- f.Shutdown(ctx)
	}()
	for name, s := range map[string]inferStream{"without messages": unused, "idle": idle} {
		if _, err := s.Recv(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "shutting down") {
			t.Errorf("%s: %v", name, err)
		}
	}
	close(gate)
	if m, err := busy.Recv(); err != nil || m.GetInferResponse().GetId() != "hold" {
		t.Errorf("the message that was held: %v, %v", m, err)
	}
	if _, err := busy.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("then: %v", err)
	}
	if err := wait(t, "the call", unary); err != nil {
		t.Errorf("the call that was held: %v", err)
	}
	if err := wait(t, "the end", shut); err != nil {
		t.Error(err)
	}
}

// A client that does not read its answers holds the replica back: the gateway takes what it buffers for a connection, and no more.
func TestSlowReaderOfAStream(t *testing.T) {
	const size, messages, most = 100 << 10, 60, 2 * streamMessages
	a := startReplica(t, "a", nil)
	f := startCalls(t, nil, a.Replica)
	stream := f.open(t)
	var sent sync.WaitGroup
	sent.Go(func() {
		for range messages {
			if stream.Send(inference("x", size)) != nil {
				return
			}
		}
		_ = stream.CloseSend()
	})
	last := int64(-1)
	until(t, "the replica is held back", func() bool {
		now := a.hits.Load()
		time.Sleep(300 * time.Millisecond)
		done := now == last
		last = now
		return done
	})
	if last > most { // those that may be without an answer, and what fits into the windows of flow control
		t.Errorf("the replica has answered %d messages of %d bytes that no one reads", last, size)
	}
	for range messages {
		if m, err := stream.Recv(); err != nil || len(m.GetInferResponse().GetRawOutputContents()[0]) != size {
			t.Fatal(err)
		}
	}
	sent.Wait()
}

// The gateway limits streams that are open, however little they send.
func TestOpenCallsAreLimited(t *testing.T) {
	a := startReplica(t, "a", nil)
	f := startCalls(t, func(c *Config) { c.MaxRequests, c.ClientShare = 2, 1 }, a.Replica)
	first, second := f.open(t), f.open(t)
	exchange(t, first, "1", "a")
	exchange(t, second, "1", "a")
	if _, err := f.infer(t.Context(), "1"); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "limit of 2") {
		t.Errorf("beyond the limit: %v", err)
	}
	_ = first.CloseSend()
	if _, err := first.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	until(t, "another call is taken", func() bool {
		_, err := f.infer(t.Context(), "1")
		return err == nil
	})
	if res := f.post("/predict", "x"); res.status != http.StatusOK {
		t.Errorf("HTTP: %+v", res)
	}
}

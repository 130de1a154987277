//go:build engine

package fleet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"fovea/api/v2grpc/pb"
	"fovea/internal/testenv"
)

// newGRPCHarness is a fleet whose gateway also listens for gRPC.
func newGRPCHarness(t *testing.T, particular string) *harness {
	t.Helper()
	b := newHarness(t, particular)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.grpc = l.Addr().String()
	_ = l.Close() // The supervisor listens there.
	b.configure(particular)
	return b
}

// inference is a request with an image for the default model.
func inference(t *testing.T) *pb.ModelInferRequest {
	img := testenv.Image(t, "chelsea.jpg")
	return &pb.ModelInferRequest{ModelName: "efficientnet-lite0.image",
		Inputs:           []*pb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "BYTES", Shape: []int64{1, 1}}},
		RawInputContents: [][]byte{append(binary.LittleEndian.AppendUint32(nil, uint32(len(img))), img...)}}
}

func (b *harness) inferenceClient() pb.GRPCInferenceServiceClient {
	b.t.Helper()
	conn, err := grpc.NewClient(b.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	return pb.NewGRPCInferenceServiceClient(conn)
}

// loadGRPC is load over gRPC.
func (b *harness) loadGRPC() *load {
	b.t.Helper()
	client, request := b.inferenceClient(), inference(b.t)
	l := b.newLoad()
	l.request = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		m, err := client.ModelInfer(ctx, request)
		if err == nil && len(m.GetOutputs()) == 0 {
			err = errors.New("an answer without outputs")
		}
		return err
	}
	return l.run()
}

// stream sends requests on one stream until it is ended, which returns how many were answered. Each must be.
func (b *harness) stream() (end func() (int, error)) {
	b.t.Helper()
	request := inference(b.t)
	stream, err := b.inferenceClient().ModelStreamInfer(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	stop, result, n := make(chan struct{}), make(chan error, 1), 0
	go func() {
		for {
			select {
			case <-stop:
				if err := stream.CloseSend(); err != nil {
					result <- err
					return
				}
				if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
					result <- fmt.Errorf("the end of the stream: %w", err)
					return
				}
				result <- nil
				return
			case <-time.After(100 * time.Millisecond):
			}
			err := stream.Send(request)
			m, received := stream.Recv()
			if err = errors.Join(err, received); err != nil || m.GetErrorMessage() != "" {
				result <- fmt.Errorf("request %d of a stream: %w, %s", n, err, m.GetErrorMessage())
				return
			}
			n++
		}
	}()
	return func() (int, error) {
		close(stop)
		err := <-result
		return n, err
	}
}

func TestRolloutLosesNoCall(t *testing.T) {
	t.Parallel()
	b := newGRPCHarness(t, two)
	b.start(2)
	l, end := b.loadGRPC(), b.stream()
	if _, err := b.client.Rollout(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := b.until("the rollout is complete", func(s Status) bool { return s.Rollout == nil })
	n, err := end()
	if err != nil || n == 0 {
		t.Errorf("a stream, after %d answers: %v", n, err)
	}
	o := l.end().none(t)
	t.Logf("%d calls and %d requests of a stream", o.sent, n)
	if s.Generation != 2 || s.Ready != 2 {
		t.Errorf("%+v", s)
	}
}

func TestKilledReplicaLosesNoCall(t *testing.T) {
	t.Parallel()
	b := newGRPCHarness(t, "replicas: 3\n")
	b.start(3)
	l := b.loadGRPC()
	b.kill("cpu-1")
	b.until("replaced", func(s Status) bool { return s.Ready == 3 && s.Replicas[1].Restarts == 1 })
	o := l.end().none(t)
	t.Logf("%d calls", o.sent)
}

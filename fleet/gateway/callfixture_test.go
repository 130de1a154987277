package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"fovea/api/v2grpc/pb"
	"fovea/internal/admission"
	"fovea/internal/httpserver"
)

// callFixture is a gateway that also listens for gRPC, and a client of it.
type callFixture struct {
	*fixture
	pb.GRPCInferenceServiceClient

	address string
	conn    *grpc.ClientConn
}

func startCalls(t testing.TB, change func(*Config), replicas ...Replica) *callFixture {
	t.Helper()
	return serveCalls(t, start(t, change, replicas...))
}

func serveCalls(t testing.TB, f *fixture) *callFixture {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- f.ServeGRPC(l) }()
	c := &callFixture{fixture: f, address: l.Addr().String()}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		if err := f.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := wait(t, "the end of serving", served); err != nil {
			t.Error(err)
		}
	})
	c.conn = dialCalls(t, c.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	c.GRPCInferenceServiceClient = pb.NewGRPCInferenceServiceClient(c.conn)
	return c
}

// dialCalls returns a connection of a client that neither retries nor limits messages itself.
func dialCalls(t testing.TB, address string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options = append(options, grpc.WithDisableRetry(), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(1<<30)))
	conn, err := grpc.NewClient(address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// infer sends a request with an ID.
func (c *callFixture) infer(ctx context.Context, id string) (*pb.ModelInferResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	return c.ModelInfer(ctx, &pb.ModelInferRequest{ModelName: "m", Id: id})
}

// inference is a request with an ID and a number of bytes.
func inference(id string, size int) *pb.ModelInferRequest {
	return &pb.ModelInferRequest{ModelName: "m", Id: id, RawInputContents: [][]byte{make([]byte, size)}}
}

// callReplica is a replica that behaves, with the HTTP server of the real one below grpc-go's.
type callReplica struct {
	Replica
	pb.UnimplementedGRPCInferenceServiceServer

	// answer is called for each request; nil: it is answered with its ID and as many bytes as it has.
	answer func(context.Context, *pb.ModelInferRequest) (*pb.ModelInferResponse, error)

	hits    atomic.Int64 // requests that have arrived
	streams atomic.Int64 // streams that have begun
	opened  atomic.Int64 // connections
	http    *http.Server
	served  sync.WaitGroup
	killed  chan struct{}
	once    sync.Once
}

func startReplica(t testing.TB, id string, answer func(context.Context, *pb.ModelInferRequest) (*pb.ModelInferResponse, error)) *callReplica {
	t.Helper()
	r := &callReplica{answer: answer, killed: make(chan struct{})}
	r.Replica = server(t, id, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	s := grpc.NewServer(grpc.MaxRecvMsgSize(1<<30), grpc.MaxSendMsgSize(1<<30))
	pb.RegisterGRPCInferenceServiceServer(s, r)
	reflection.Register(s)
	r.http = httpserver.New(s, 0, 0, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.GRPC = l.Addr().String()
	r.served.Go(func() { _ = httpserver.Serve(r.http, &countedListener{l, &r.opened}) })
	t.Cleanup(r.kill)
	return r
}

// startHolding starts a replica that answers a request with the ID hold once the channel is closed, and others at once.
func startHolding(t testing.TB, id string, until <-chan struct{}) *callReplica {
	t.Helper()
	var r *callReplica
	r = startReplica(t, id, func(ctx context.Context, m *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
		if m.GetId() == "hold" {
			if err := r.hold(ctx, until); err != nil {
				return nil, err
			}
		}
		return answerTo(id, m), nil
	})
	return r
}

// countedListener is a listener that counts connections.
type countedListener struct {
	net.Listener

	n *atomic.Int64
}

func (l *countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return c, err
}

// kill closes the listener and all connections, as the end of a process does. The port stays unused in practice.
func (r *callReplica) kill() {
	_ = r.http.Close()
	r.once.Do(func() { close(r.killed) })
	r.served.Wait()
}

// hold is an answer that waits until the channel is closed, or the replica is killed.
func (r *callReplica) hold(ctx context.Context, until <-chan struct{}) error {
	select {
	case <-until:
		return nil
	case <-r.killed:
		return status.Error(codes.Aborted, "killed")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *callReplica) ModelInfer(ctx context.Context, m *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
	r.hits.Add(1)
	if r.answer != nil {
		return r.answer(ctx, m)
	}
	return answerTo(r.ID, m), nil
}

// answerTo answers a request as a replica.
func answerTo(replica string, m *pb.ModelInferRequest) *pb.ModelInferResponse {
	return &pb.ModelInferResponse{ModelName: replica, Id: m.GetId(), RawOutputContents: m.GetRawInputContents()}
}

func (r *callReplica) ModelStreamInfer(stream grpc.BidiStreamingServer[pb.ModelInferRequest, pb.ModelStreamInferResponse]) error {
	r.streams.Add(1)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer, err := r.ModelInfer(stream.Context(), m)
		if status.Code(err) == codes.Unavailable {
			return err
		}
		out := &pb.ModelStreamInferResponse{InferResponse: answer}
		if err != nil {
			out = &pb.ModelStreamInferResponse{ErrorMessage: err.Error(), InferResponse: &pb.ModelInferResponse{Id: m.GetId()}}
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}

// ServerMetadata shows what arrives, and returns metadata.
func (r *callReplica) ServerMetadata(ctx context.Context, _ *pb.ServerMetadataRequest) (*pb.ServerMetadataResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	_ = grpc.SetHeader(ctx, metadata.Pairs("header", "h", "header-bin", "\x00\xff"))
	_ = grpc.SetTrailer(ctx, metadata.Pairs("last", "t1", "last", "t2", "last-bin", "\x01\xfe"))
	m := &pb.ServerMetadataResponse{Name: r.ID}
	for name, values := range md {
		for _, v := range values {
			m.Extensions = append(m.Extensions, strconv.QuoteToASCII(name+"="+v))
		}
	}
	if deadline, ok := ctx.Deadline(); ok {
		m.Version = time.Until(deadline).String()
	}
	return m, nil
}

// replicasOf are the replicas for the load balancer.
func replicasOf(list ...*callReplica) (replicas []Replica) {
	for _, r := range list {
		replicas = append(replicas, r.Replica)
	}
	return replicas
}

// admissionFor admits a number of requests.
func admissionFor(c Config, requests int64) *admission.Controller {
	limits := c.admissionLimits()
	limits.Requests = requests
	return admission.New(limits)
}

func rewrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

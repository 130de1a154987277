package v2grpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"fovea/api/v2grpc/pb"
	"fovea/health"
	"fovea/inference"
	"fovea/internal/access"
	"fovea/internal/admission"
	"fovea/internal/apierror"
	"fovea/internal/grpcstatus"
	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
	"fovea/internal/testenv"
	v2 "fovea/internal/v2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counts is an Observer.
type counts struct {
	mu    sync.Mutex
	lines []string
}

func (c *counts) Inferred(model, version string, rows, status int, code string, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, fmt.Sprint(model, " ", version, " ", rows, " ", status, " ", code))
}

func (c *counts) Rejected(model, code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, "rejected "+model+" "+code)
}

func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines, "\n")
}

// testServer is a server with the model same, which returns its inputs x (float32 [n,4]) and t (strings [n]), and its client.
type testServer struct {
	*Server
	client    pb.GRPCInferenceServiceClient
	conn      *grpc.ClientConn
	counts    *counts
	admission *admission.Controller
}

func open(t *testing.T, limits admission.Limits, cfg Config) *testServer {
	t.Helper()
	return openWithKeys(t, limits, cfg, "")
}

// openWithKeys starts a server with a file of keys.
func openWithKeys(t *testing.T, limits admission.Limits, cfg Config, keys string) *testServer {
	t.Helper()
	return openWith(t, limits, cfg, keys, func(*Parts) {})
}

// openWith starts a server with a file of keys, and with what change sets.
func openWith(t *testing.T, limits admission.Limits, cfg Config, keys string, change func(*Parts)) *testServer {
	t.Helper()
	dir := t.TempDir()
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, "n", 4)
	m.Input("t", onnxwriter.String, "k")
	m.Node("Identity", "y", nil, "x")
	m.Node("Identity", "u", nil, "t")
	m.Output("y", onnxwriter.Float, "n", 4)
	m.Output("u", onnxwriter.String, "k")
	if err := os.MkdirAll(filepath.Join(dir, "same", "1"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{"same/model.yaml": []byte("task: none"), "same/1/model.onnx": m.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	engineConfig := inference.Defaults()
	engineConfig.Library, engineConfig.Device = testenv.ORTLibrary(t), "cpu"
	log := slog.New(slog.DiscardHandler)
	engine, err := inference.New(engineConfig, repository.Open(dir), nil, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	monitor := health.New(engine, log)
	monitor.Loaded()
	guard, err := access.Open(access.Config{Keys: keys}, log)
	if err != nil {
		t.Fatal(err)
	}
	s := &testServer{counts: &counts{}, admission: admission.New(limits)}
	parts := Parts{Core: v2.New(engine, v2.Limits{Timeout: 10 * time.Second, Rows: 64, BodySize: 64 << 20, ImageSize: 1 << 20, Control: true}, "fovea", "test"), Guard: guard,
		Health: monitor, Admission: s.admission, Observer: s.counts, BodyTimeout: 20 * time.Second, Log: log}
	change(&parts)
	s.Server = New(cfg, parts)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	s.conn, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)))
	if err != nil {
		t.Fatal(err)
	}
	s.client = pb.NewGRPCInferenceServiceClient(s.conn)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(s.conn.Close(), s.Shutdown(ctx), <-served, engine.Close(ctx)); err != nil {
			t.Error(err)
		}
		if s.admission.Bytes() != 0 || s.admission.Requests() != 0 {
			t.Errorf("%d bytes of %d requests are still counted", s.admission.Bytes(), s.admission.Requests())
		}
	})
	return s
}

var roomy = admission.Limits{Requests: 1000, Bytes: 1 << 30, ClientShare: 1, MinRate: 1 << 10}

func floats(values ...float32) (data []byte) {
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

// request is a request for the model, of raw contents.
func request(id string, rows int) *pb.ModelInferRequest {
	return &pb.ModelInferRequest{ModelName: "same", Id: id,
		Inputs:           []*pb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "FP32", Shape: []int64{int64(rows), 4}}, {Name: "t", Datatype: "BYTES", Shape: []int64{1}}},
		RawInputContents: [][]byte{bytes.Repeat(floats(1, 2, 3, 4), rows), v2.AppendBytes(nil, "text")}}
}

func typed() *pb.ModelInferRequest {
	r := request("typed", 1)
	r.RawInputContents = nil
	r.Inputs[0].Contents = &pb.InferTensorContents{Fp32Contents: []float32{1, 2, 3, 4}}
	r.Inputs[1].Contents = &pb.InferTensorContents{BytesContents: [][]byte{[]byte("text")}}
	return r
}

func TestInfer(t *testing.T) {
	s := open(t, roomy, Defaults())
	for _, r := range []*pb.ModelInferRequest{request("raw", 1), typed()} {
		for _, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor("gzip")}, {grpc.UseCompressor("deflate")}} {
			got, err := s.client.ModelInfer(t.Context(), r, options...)
			if err != nil {
				t.Fatal(err)
			}
			if got.GetId() != r.GetId() || got.GetModelName() != "same" || got.GetModelVersion() != "1" || len(got.GetOutputs()) != 2 || got.GetOutputs()[0].GetName() != "y" ||
				!slices.Equal(got.GetOutputs()[0].GetShape(), []int64{1, 4}) || !bytes.Equal(got.GetRawOutputContents()[0], floats(1, 2, 3, 4)) ||
				!bytes.Equal(got.GetRawOutputContents()[1], v2.AppendBytes(nil, "text")) {
				t.Errorf("got %v", got)
			}
		}
	}
	r := request("", 2)
	r.Outputs = []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "y", Parameters: map[string]*pb.InferParameter{"classification": {ParameterChoice: &pb.InferParameter_Int64Param{Int64Param: 1}}}}}
	got, err := s.client.ModelInfer(t.Context(), r)
	if err != nil || !strings.Contains(string(got.GetRawOutputContents()[0]), "4.000000:3") || len(got.GetOutputs()) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if large, err := s.client.ModelInfer(t.Context(), request("", 400_000)); err != nil || len(large.GetRawOutputContents()[0]) != 6_400_000 {
		t.Errorf("6.4 MB: %v", err)
	}
	if text := s.counts.String(); strings.Count(text, "same 1 1 200 ok") != 6 || strings.Count(text, "same 1 2 200 ok") != 1 {
		t.Errorf("counted\n%s", text)
	}
}

func TestErrors(t *testing.T) {
	s := open(t, roomy, Config{MaxMessageBytes: 1 << 20})
	change := func(f func(r *pb.ModelInferRequest)) *pb.ModelInferRequest {
		r := request("", 1)
		f(r)
		return r
	}
	for name, c := range map[string]struct {
		request *pb.ModelInferRequest
		code    codes.Code
		says    string
	}{
		"an unknown model":     {change(func(r *pb.ModelInferRequest) { r.ModelName = "nope" }), codes.NotFound, "Request for unknown model: 'nope'"},
		"an unknown version":   {change(func(r *pb.ModelInferRequest) { r.ModelVersion = "9" }), codes.NotFound, "version 9"},
		"no version":           {change(func(r *pb.ModelInferRequest) { r.ModelVersion = "x" }), codes.InvalidArgument, "failed to get model version from specified version string 'x'"},
		"too few raw contents": {change(func(r *pb.ModelInferRequest) { r.RawInputContents = r.RawInputContents[:1] }), codes.InvalidArgument, "1 raw_input_contents for 2 inputs"},
		"no contents":          {change(func(r *pb.ModelInferRequest) { r.RawInputContents = nil }), codes.InvalidArgument, "unable to find data for input tensor 'x'"},
		"both contents": {change(func(r *pb.ModelInferRequest) {
			r.Inputs[0].Contents = &pb.InferTensorContents{BoolContents: []bool{true}}
		}), codes.InvalidArgument, "must not be specified when using raw"},
		"shared memory": {change(func(r *pb.ModelInferRequest) {
			r.Inputs[0].Parameters = map[string]*pb.InferParameter{"shared_memory_region": nil}
			r.RawInputContents = r.RawInputContents[1:] // as clients do
		}), codes.InvalidArgument, "shared memory is not supported"},
		"an unknown datatype":  {change(func(r *pb.ModelInferRequest) { r.Inputs[0].Datatype = "FLOAT" }), codes.InvalidArgument, "allowed: BF16"},
		"a reserved parameter": {change(func(r *pb.ModelInferRequest) { r.Parameters = map[string]*pb.InferParameter{"triton_x": nil} }), codes.InvalidArgument, "reserved"},
		"a timeout of 1 µs": {change(func(r *pb.ModelInferRequest) {
			r.Parameters = map[string]*pb.InferParameter{"timeout": {ParameterChoice: &pb.InferParameter_Int64Param{Int64Param: 1}}}
		}), codes.DeadlineExceeded, "no response within 1µs"},
		"a message too large": {request("", 100_000), codes.ResourceExhausted, "larger than max"},
		"broken strings":      {change(func(r *pb.ModelInferRequest) { r.RawInputContents[1] = []byte{9, 0, 0, 0, 'a'} }), codes.InvalidArgument, "only 1 bytes are left"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.client.ModelInfer(t.Context(), c.request)
			if got := status.Convert(err); got.Code() != c.code || !strings.Contains(got.Message(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := s.client.ModelInfer(t.Context(), request("", 1)); err != nil {
		t.Errorf("after them: %v", err)
	}
	if text := s.counts.String(); !strings.Contains(text, "  1 404 model_not_found") || !strings.Contains(text, "rejected same malformed") {
		t.Errorf("counted\n%s", text)
	}
}

func TestContents(t *testing.T) {
	for _, c := range []struct {
		datatype string
		contents *pb.InferTensorContents
		want     []byte // nil: an error that says
		says     string
	}{
		{"BOOL", &pb.InferTensorContents{BoolContents: []bool{true, false}}, []byte{1, 0}, ""},
		{"INT8", &pb.InferTensorContents{IntContents: []int32{-128, 127}}, []byte{128, 127}, ""},
		{"INT8", &pb.InferTensorContents{IntContents: []int32{-129, 1}}, nil, "out of range for INT8"},
		{"INT16", &pb.InferTensorContents{IntContents: []int32{-2, 1}}, []byte{254, 255, 1, 0}, ""},
		{"INT16", &pb.InferTensorContents{IntContents: []int32{1, 1 << 15}}, nil, "out of range for INT16"},
		{"INT32", &pb.InferTensorContents{IntContents: []int32{-1, 1}}, []byte{255, 255, 255, 255, 1, 0, 0, 0}, ""},
		{"INT64", &pb.InferTensorContents{Int64Contents: []int64{1, -1}}, append([]byte{1, 0, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte{255}, 8)...), ""},
		{"UINT8", &pb.InferTensorContents{UintContents: []uint32{1, 255}}, []byte{1, 255}, ""},
		{"UINT8", &pb.InferTensorContents{UintContents: []uint32{1, 256}}, nil, "out of range for UINT8"},
		{"UINT16", &pb.InferTensorContents{UintContents: []uint32{1, 65535}}, []byte{1, 0, 255, 255}, ""},
		{"UINT16", &pb.InferTensorContents{UintContents: []uint32{1, 65536}}, nil, "out of range for UINT16"},
		{"UINT32", &pb.InferTensorContents{UintContents: []uint32{1, 2}}, []byte{1, 0, 0, 0, 2, 0, 0, 0}, ""},
		{"UINT64", &pb.InferTensorContents{Uint64Contents: []uint64{1, 2}}, []byte{1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0}, ""},
		{"FP32", &pb.InferTensorContents{Fp32Contents: []float32{1, 2}}, floats(1, 2), ""},
		{"FP64", &pb.InferTensorContents{Fp64Contents: []float64{1, 2}}, []byte{0, 0, 0, 0, 0, 0, 240, 63, 0, 0, 0, 0, 0, 0, 0, 64}, ""},
		{"BYTES", &pb.InferTensorContents{BytesContents: [][]byte{[]byte("a"), nil}}, v2.AppendBytes(v2.AppendBytes(nil, "a"), ""), ""},
		{"FP16", &pb.InferTensorContents{Fp32Contents: []float32{1, 2}}, nil, "FP16 has no typed contents"},
		{"FP32", &pb.InferTensorContents{IntContents: []int32{1, 2}}, nil, "unexpected explicit tensor data"},
		{"FP32", &pb.InferTensorContents{Fp32Contents: []float32{1, 2}, BoolContents: []bool{true}}, nil, "in bool_contents; FP32 has fp32_contents"},
		{"FP32", &pb.InferTensorContents{Fp32Contents: []float32{1}}, nil, "has 1 elements in fp32_contents; its shape takes 2"},
	} {
		got, err := contents{c.contents}.Read("x", c.datatype, 2)
		if !bytes.Equal(got, c.want) || (err == nil) != (c.want != nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %v: %v, %v", c.datatype, c.contents, got, err)
		}
	}
}

func TestStream(t *testing.T) {
	s := open(t, roomy, Defaults())
	stream, err := s.client.ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const n = 100
	go func() {
		for i := range n {
			r := request(fmt.Sprint(i), i%3+1)
			if i%10 == 3 {
				r.Inputs[0].Name = "nope"
			}
			if stream.Send(r) != nil {
				return
			}
		}
		_ = stream.CloseSend()
	}()
	seen := map[string]bool{}
	for {
		got, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		id := got.GetInferResponse().GetId()
		if failed := strings.HasSuffix(id, "3"); failed != (got.GetErrorMessage() != "") || seen[id] {
			t.Errorf("%s: %s", id, got.GetErrorMessage())
		}
		seen[id] = true
	}
	if len(seen) != n {
		t.Errorf("%d answers", len(seen))
	}
}

func TestStreamEndsWhenTheServerDrains(t *testing.T) {
	s := open(t, roomy, Defaults())
	stream, err := s.client.ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(request("1", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("got %v", err)
	}
}

func TestMessagesAreAdmitted(t *testing.T) {
	limits := roomy
	limits.Bytes = 100 << 10
	s := open(t, limits, Defaults())
	if _, err := s.client.ModelInfer(t.Context(), request("", 5000)); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "body bytes in flight") {
		t.Errorf("80 KB, which are twice in memory: %v", err)
	}
	if _, err := s.client.ModelInfer(t.Context(), request("", 100_000)); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "body bytes in flight") {
		t.Errorf("1.6 MB: %v", err)
	}
	stream, err := s.client.ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, rows := range []int{1, 100_000, 2} {
		if err := stream.Send(request(fmt.Sprint(i), rows)); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil || (got.GetErrorMessage() != "") != (rows > 10) {
			t.Errorf("%d rows: %v, %v", rows, got.GetErrorMessage(), err)
		}
	}
	s.admission.Close()
	if _, err := s.client.ModelInfer(t.Context(), request("", 1)); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("after the end of admission: %v", err)
	}
	_ = stream.CloseSend()
}

func TestOtherCalls(t *testing.T) {
	s := open(t, roomy, Defaults())
	ctx := t.Context()
	live, err1 := s.client.ServerLive(ctx, &pb.ServerLiveRequest{})
	ready, err2 := s.client.ServerReady(ctx, &pb.ServerReadyRequest{})
	model, err3 := s.client.ModelReady(ctx, &pb.ModelReadyRequest{Name: "same"})
	none, err4 := s.client.ModelReady(ctx, &pb.ModelReadyRequest{Name: "nope"})
	server, err5 := s.client.ServerMetadata(ctx, &pb.ServerMetadataRequest{})
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil || !live.GetLive() || !ready.GetReady() || !model.GetReady() || none.GetReady() || server.GetName() != "fovea" {
		t.Errorf("%v %v %v %v %v", err, live, ready, model, server)
	}
	metadata, err1 := s.client.ModelMetadata(ctx, &pb.ModelMetadataRequest{Name: "same"})
	config, err2 := s.client.ModelConfig(ctx, &pb.ModelConfigRequest{Name: "same"})
	stats, err3 := s.client.ModelStatistics(ctx, &pb.ModelStatisticsRequest{})
	index, err4 := s.client.RepositoryIndex(ctx, &pb.RepositoryIndexRequest{})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	if in := metadata.GetInputs(); len(in) != 2 || in[1].GetDatatype() != "BYTES" || metadata.GetVersions()[0] != "1" {
		t.Errorf("%v", metadata)
	}
	if c := config.GetConfig(); c.GetMaxBatchSize() != 64 || c.GetInput()[1].GetDataType() != pb.DataType_TYPE_STRING || c.GetVersionPolicy().GetLatest().GetNumVersions() != 1 ||
		c.GetInstanceGroup()[0].GetKind() != pb.ModelInstanceGroup_KIND_CPU || c.GetBackend() != "onnxruntime" {
		t.Errorf("%v", c)
	}
	if len(stats.GetModelStats()) != 1 || stats.GetModelStats()[0].GetInferenceStats().GetSuccess() == nil || len(index.GetModels()) != 1 || index.GetModels()[0].GetState() != "READY" {
		t.Errorf("%v %v", stats, index)
	}
	if _, err := s.client.RepositoryModelUnload(ctx, &pb.RepositoryModelUnloadRequest{ModelName: "same"}); err != nil {
		t.Error(err)
	}
	if _, err := s.client.ModelInfer(ctx, request("", 1)); status.Code(err) != codes.Unavailable {
		t.Errorf("unloaded: %v", err)
	}
	if _, err := s.client.RepositoryModelLoad(ctx, &pb.RepositoryModelLoadRequest{ModelName: "same"}); err != nil {
		t.Error(err)
	}
	for want, err := range map[codes.Code]error{
		codes.Unimplemented: second(s.client.RepositoryIndex(ctx, &pb.RepositoryIndexRequest{RepositoryName: "r"})),
		codes.NotFound:      second(s.client.RepositoryModelLoad(ctx, &pb.RepositoryModelLoadRequest{ModelName: "nope"})),
		codes.InvalidArgument: second(s.client.RepositoryModelLoad(ctx, &pb.RepositoryModelLoadRequest{ModelName: "same",
			Parameters: map[string]*pb.ModelRepositoryParameter{"config": nil}})),
	} {
		if status.Code(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := s.conn.Invoke(ctx, "/inference.GRPCInferenceService/TraceSetting", &pb.ServerLiveRequest{}, &pb.ServerLiveResponse{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("an unknown method: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestHealthAndReflection(t *testing.T) {
	s := open(t, roomy, Defaults())
	client := healthpb.NewHealthClient(s.conn)
	for service, want := range map[string]codes.Code{"": codes.OK, "inference.GRPCInferenceService": codes.OK, "nope": codes.NotFound} {
		got, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if status.Code(err) != want || err == nil && got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", service, got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	watch, err := client.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); err != nil || got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", got, err)
	}
	cancel()
	if _, err := watch.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
	stream, err := reflectionpb.NewServerReflectionClient(s.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 * streamMessages {
		if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil || len(got.GetListServicesResponse().GetService()) < 3 {
			t.Fatalf("%v, %v", got, err)
		}
	}
	_ = stream.CloseSend()
	if n := s.admission.Requests(); n > 1 {
		t.Errorf("%d messages are still counted", n)
	}
}

func TestCodes(t *testing.T) {
	for code, want := range map[apierror.Code]codes.Code{apierror.Malformed: codes.InvalidArgument, apierror.InvalidParameter: codes.InvalidArgument,
		apierror.Undecodable: codes.InvalidArgument, apierror.UnsupportedFormat: codes.InvalidArgument, apierror.ImageTooLarge: codes.InvalidArgument, apierror.ModelNotFound: codes.NotFound,
		apierror.PermissionDenied: codes.PermissionDenied, apierror.QueueFull: codes.ResourceExhausted, apierror.BodyTooLarge: codes.ResourceExhausted, apierror.NotReady: codes.Unavailable,
		apierror.Draining: codes.Unavailable, apierror.DeviceLost: codes.Unavailable, apierror.DeadlineExceeded: codes.DeadlineExceeded, apierror.Canceled: codes.Canceled,
		apierror.Internal: codes.Internal} {
		if got := grpcstatus.Of(code); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
}

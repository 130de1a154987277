package v2grpc

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"fovea/api/v2grpc/pb"
	"fovea/internal/admission"
)

// wire is a codec of messages that are encoded already.
type wire struct{}

func (wire) Name() string                       { return "proto" }
func (wire) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (wire) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }

var _ encoding.Codec = wire{}

// field is a field that has a length.
func field(number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value)
}

// bombs are messages of about a size that are much larger when they are decoded.
func bombs(size int) map[string][]byte {
	repeat := func(f []byte) []byte { return bytes.Repeat(f, size/len(f)) }
	tensor := func(f []byte) []byte { return field(5, repeat(f)) }
	var parameters []byte
	for len(parameters) < size {
		key := protowire.AppendVarint(nil, uint64(len(parameters)))
		for i := range key {
			key[i] &= 0x7F // text
		}
		parameters = append(parameters, field(4, field(1, key))...)
	}
	return map[string][]byte{
		"inputs": repeat(field(5, nil)), "outputs": repeat(field(6, nil)), "raw contents": repeat(field(7, nil)), "parameters": parameters,
		"parameters of an input": tensor(field(4, field(1, []byte("a")))), "a shape": tensor([]byte{3 << 3, 1}), "a packed shape": field(5, field(3, make([]byte, size))),
		"strings": field(5, field(5, repeat(field(8, nil)))), "packed numbers": field(5, field(5, field(3, make([]byte, size)))), "packed floats": field(5, field(5, field(6, make([]byte, size/4*4)))),
		"unknown fields": repeat([]byte{0xA0, 6, 1}), "inputs with contents": repeat(field(5, field(5, nil))),
	}
}

func TestDecodedSizeIsAnUpperBound(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for name, data := range bombs(1 << 20) {
		bound, before := decodedSize(data, inputOf(pb.GRPCInferenceService_ModelInfer_FullMethodName)), heap()
		m := &pb.ModelInferRequest{}
		if err := proto.Unmarshal(data, m); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		used := heap() - before
		runtime.KeepAlive(m)
		if used > bound+64<<10 {
			t.Errorf("%s: %d bytes take %d decoded, more than the bound of %d", name, len(data), used, bound)
		}
	}
	if bound := decodedSize(mustMarshal(t, request("", 100_000)), inputOf(pb.GRPCInferenceService_ModelInfer_FullMethodName)); bound > 1_700_000 {
		t.Errorf("a request of 1.6 MB counts as %d bytes", bound)
	}
}

func mustMarshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestMessagesThatGrow sends messages whose decoded form is larger than the memory that requests may take, plain and compressed.
func TestMessagesThatGrow(t *testing.T) {
	s := open(t, admission.Limits{Requests: 100, Bytes: 8 << 20, ClientShare: 1}, Config{MaxMessageBytes: 4 << 20})
	send := func(data []byte, options ...grpc.CallOption) error {
		var answer []byte
		return s.conn.Invoke(t.Context(), pb.GRPCInferenceService_ModelInfer_FullMethodName, data, &answer, append(options, grpc.ForceCodec(wire{}))...)
	}
	for name, data := range bombs(1 << 20) {
		if decodedSize(data, inputOf(pb.GRPCInferenceService_ModelInfer_FullMethodName)) < 8<<20 {
			continue
		}
		for _, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor("gzip")}, {grpc.UseCompressor("deflate")}} {
			if err := send(data, options...); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("%s, %d options: %v", name, len(options), err)
			}
		}
	}
	if err := send(make([]byte, 5<<20), grpc.UseCompressor("gzip")); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message that is too large once decompressed: %v", err)
	}
	for _, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor("gzip")}, {grpc.UseCompressor("deflate")}} {
		if _, err := s.client.ModelInfer(t.Context(), request("", 50_000), options...); err != nil {
			t.Errorf("after them, %d options: %v", len(options), err)
		}
	}
	stream, err := s.client.ModelStreamInfer(t.Context(), grpc.UseCompressor("gzip"))
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int{300_000, 1} { // 4.8 MB, which compress well
		if err := stream.Send(request("", rows)); err != nil {
			t.Fatal(err)
		}
		if answer, err := stream.Recv(); err != nil || (answer.GetErrorMessage() != "") != (rows > 1) {
			t.Errorf("%d rows in a stream: %v, %v", rows, answer.GetErrorMessage(), err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
}

// TestClientsThatDoNotRead sends requests whose responses are never read, and then reads those of another client.
func TestClientsThatDoNotRead(t *testing.T) {
	s := open(t, admission.Limits{Requests: 100, Bytes: 40 << 20, ClientShare: 1}, Defaults())
	s.writeTimeout = 500 * time.Millisecond
	conn, err := grpc.NewClient(s.conn.Target(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithInitialWindowSize(64<<10), grpc.WithStaticStreamWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	slow, err := pb.NewGRPCInferenceServiceClient(conn).ModelStreamInfer(t.Context(), grpc.MaxCallRecvMsgSize(1<<30))
	if err != nil {
		t.Fatal(err)
	}
	if err := slow.Send(request("", 500_000)); err != nil { // 8 MB, and as much again in the response
		t.Fatal(err)
	}
	for s.admission.Bytes() == 0 {
		time.Sleep(time.Millisecond)
	}
	for s.admission.Bytes() > 0 { // until the deadline of the write
		time.Sleep(time.Millisecond)
	}
	if _, err := slow.Recv(); status.Code(err) == codes.OK {
		t.Error("a response that was not read in time is read later")
	}
	if _, err := s.client.ModelInfer(t.Context(), request("", 1)); err != nil {
		t.Error(err)
	}
	idle, err := s.client.ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := idle.Send(request("", 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := idle.Recv(); err != nil {
			t.Errorf("a stream that idles for longer than a write may take: %v", err)
		}
		time.Sleep(s.writeTimeout + 100*time.Millisecond)
	}
	if err := idle.CloseSend(); err != nil {
		t.Error(err)
	}
}

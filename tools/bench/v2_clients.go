package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"fovea/api/v2grpc/pb"
)

// v2Tensors is how many different tensors are sent in turn: more than the caches of a core hold.
const v2Tensors = 8

// v2Tensor is the input of a model, as GET /v2/models/M describes it.
type v2Tensor struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// v2Input asks the server for the model's only input, of which a request has one row.
func v2Input(ctx context.Context, base, model string) (v2Tensor, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v2/models/"+model, nil)
	if err != nil {
		return v2Tensor{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return v2Tensor{}, err
	}
	defer func() { _ = response.Body.Close() }()
	var metadata struct {
		Inputs []v2Tensor `json:"inputs"`
	}
	if err := json.NewDecoder(response.Body).Decode(&metadata); err != nil {
		return v2Tensor{}, err
	}
	if len(metadata.Inputs) != 1 || metadata.Inputs[0].Datatype != "FP32" || len(metadata.Inputs[0].Shape) == 0 {
		return v2Tensor{}, fmt.Errorf("the inputs of %s are %v; one of FP32 is needed", model, metadata.Inputs)
	}
	in := metadata.Inputs[0]
	in.Shape[0] = 1
	for _, n := range in.Shape {
		if n < 1 {
			return v2Tensor{}, fmt.Errorf("the input of %s has the open shape %v", model, in.Shape)
		}
	}
	return in, nil
}

// noise is n bytes of FP32 from -2 to 2.
func noise(seed uint64, n int) []byte {
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // G404: the same tensors every time
	data := make([]byte, 0, n)
	for len(data) < n {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(4*random.Float32()-2))
	}
	return data
}

// v2Servers are what the clients of bench v2 connect to, with their addresses for gRPC.
type v2Servers struct {
	serve, against, bare             *server // against: another build of serve; nil: none
	serveGRPC, againstGRPC, bareGRPC string
	loop                             *child
}

// againstPrefix begins the names of the ways to the other build.
const againstPrefix = "against: "

// v2Bench's clients and what they send.
type v2Clients struct {
	http          *http.Client
	conns         map[string]*grpc.ClientConn
	connections   int
	model         string
	in            v2Tensor
	tensors       [][]byte // raw
	images        [][]byte
	encodedImages [][]byte // as elements of BYTES
}

// v2Connect makes the clients.
func v2Connect(ctx context.Context, o options, to v2Servers, images [][]byte) (c *v2Clients, err error) {
	c = &v2Clients{conns: map[string]*grpc.ClientConn{}, connections: o.Connections, model: o.Model, images: images}
	if c.in, err = v2Input(ctx, to.serve.base, o.Model); err != nil {
		return nil, err
	}
	size := 4
	for _, n := range c.in.Shape {
		size *= int(n)
	}
	for i := range v2Tensors {
		c.tensors = append(c.tensors, noise(uint64(i), size))
	}
	for _, data := range images {
		c.encodedImages = append(c.encodedImages, append(binary.LittleEndian.AppendUint32(nil, uint32(len(data))), data...))
	}
	for _, address := range []string{to.serveGRPC, to.againstGRPC, to.bareGRPC} {
		if c.conns[address], err = grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithWriteBufferSize(1<<20)); err != nil {
			return nil, err
		}
	}
	c.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: o.Connections, MaxConnsPerHost: o.Connections, WriteBufferSize: 1 << 20,
		DisableCompression: true}} // of responses, which Go's client asks for by itself, unlike those of Triton
	return c, nil
}

func (c *v2Clients) close() {
	c.http.CloseIdleConnections()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// requests is a way to send requests over HTTP/1.
func (c *v2Clients) requests(name string, s *server, target vegeta.Targeter) v2Way {
	return v2Way{name, func(d time.Duration) (rate, error) {
		return s.rate(func() (uint64, float64, error) { return closedWith(c.http, c.connections, d, target) })
	}}
}

// calls is a way to send messages over gRPC.
func (c *v2Clients) calls(ctx context.Context, name string, s *server, address string, messages [][]byte) v2Way {
	return v2Way{name, func(d time.Duration) (rate, error) {
		return s.rate(func() (uint64, float64, error) { return v2Calls(ctx, c.conns[address], c.connections, d, messages) })
	}}
}

// served are the ways to a server. prefix begins their names.
func (c *v2Clients) served(ctx context.Context, prefix string, s *server, address string) []v2Way {
	view, image := c.model+".image", v2Tensor{Name: "image", Datatype: "BYTES", Shape: []int64{1, 1}}
	return []v2Way{
		c.requests(prefix+rawHTTP, s, v2Bodies(s.base, c.model, c.in, c.tensors)),
		c.calls(ctx, prefix+rawGRPC, s, address, v2Messages(c.model, c.in, c.tensors)),
		c.requests(prefix+jsonHTTP, s, v2JSON(s.base, c.model, c.in, c.tensors)),
		c.requests(prefix+imageV1, s, targets(s.base+"/v1/models/"+c.model+"/predict", c.images)),
		c.requests(prefix+imageHTTP, s, v2Bodies(s.base, view, image, c.encodedImages)),
		c.calls(ctx, prefix+imageGRPC, s, address, v2Messages(view, image, c.encodedImages)),
	}
}

// v2Ways are the ways whose names match o.Ways.
func v2Ways(ctx context.Context, o options, to v2Servers, c *v2Clients) ([]v2Way, error) {
	wanted, err := regexp.Compile(o.Ways)
	if err != nil {
		return nil, err
	}
	ways := []v2Way{
		{inLoop, to.loop.loop},
		c.requests(bareHTTP, to.bare, v2Bodies(to.bare.base, o.Model, c.in, c.tensors)),
		c.calls(ctx, bareGRPC, to.bare, to.bareGRPC, v2Messages(o.Model, c.in, c.tensors)),
	}
	for i, way := range c.served(ctx, "", to.serve, to.serveGRPC) {
		ways = append(ways, way)
		if to.against != nil {
			ways = append(ways, c.served(ctx, againstPrefix, to.against, to.againstGRPC)[i])
		}
	}
	return slices.DeleteFunc(ways, func(w v2Way) bool { return !wanted.MatchString(w.name) }), nil
}

// v2JSON sends requests with one tensor of FP32 each as JSON in turn, as Python's json writes its elements.
func v2JSON(base, model string, in v2Tensor, data [][]byte) vegeta.Targeter {
	var next atomic.Uint64
	shape, _ := json.Marshal(in.Shape) // numbers
	bodies := make([][]byte, len(data))
	for i, tensor := range data {
		body := fmt.Appendf(nil, `{"inputs":[{"name":%q,"shape":%s,"datatype":%q,"data":[`, in.Name, shape, in.Datatype)
		for at := 0; at < len(tensor); at += 4 {
			if at > 0 {
				body = append(body, ", "...)
			}
			body = strconv.AppendFloat(body, float64(math.Float32frombits(binary.LittleEndian.Uint32(tensor[at:]))), 'f', -1, 64)
		}
		bodies[i] = append(body, "]}]}"...)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	return func(t *vegeta.Target) error {
		*t = vegeta.Target{Method: http.MethodPost, URL: base + "/v2/models/" + model + "/infer", Body: bodies[next.Add(1)%uint64(len(bodies))], Header: header}
		return nil
	}
}

// v2Bodies sends requests with one binary tensor each in turn, and asks for binary outputs.
func v2Bodies(base, model string, in v2Tensor, data [][]byte) vegeta.Targeter {
	var next atomic.Uint64
	shape, _ := json.Marshal(in.Shape) // numbers
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	bodies := make([][]byte, len(data))
	headers := make([]http.Header, len(data))
	for i, tensor := range data {
		text := fmt.Sprintf(`{"inputs":[{"name":%q,"datatype":%q,"shape":%s,"parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`,
			in.Name, in.Datatype, shape, len(tensor))
		bodies[i], headers[i] = append([]byte(text), tensor...), header.Clone()
		headers[i].Set("Inference-Header-Content-Length", strconv.Itoa(len(text)))
	}
	return func(t *vegeta.Target) error {
		i := next.Add(1) % uint64(len(bodies))
		*t = vegeta.Target{Method: http.MethodPost, URL: base + "/v2/models/" + model + "/infer", Body: bodies[i], Header: headers[i]}
		return nil
	}
}

// v2Messages are encoded requests with one tensor each.
func v2Messages(model string, in v2Tensor, data [][]byte) [][]byte {
	messages := make([][]byte, len(data))
	for i, tensor := range data {
		m := &pb.ModelInferRequest{ModelName: model, Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: in.Name, Datatype: in.Datatype, Shape: in.Shape}}, RawInputContents: [][]byte{tensor}}
		messages[i], _ = proto.Marshal(m) // its strings are those of a server's JSON
	}
	return messages
}

// closedWith keeps n requests in flight for d (closed loop), and returns how many there were, and how many per second. It fails if a
// request fails.
func closedWith(client *http.Client, n int, d time.Duration, t vegeta.Targeter) (uint64, float64, error) {
	a := vegeta.NewAttacker(vegeta.Client(client), vegeta.Workers(uint64(n)), vegeta.MaxWorkers(uint64(n)))
	m, err := collect(a.Attack(t, vegeta.Rate{}, d, ""))
	return m.Requests, m.Throughput, err
}

// encoded is a codec of messages that are encoded already.
type encoded struct{}

// Marshal implements encoding.Codec.
func (encoded) Marshal(message any) ([]byte, error) { return message.([]byte), nil }

// Unmarshal implements encoding.Codec.
func (encoded) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = bytes.Clone(data)
	return nil
}

// Name implements encoding.Codec.
func (encoded) Name() string { return "proto" }

// v2Calls keeps n calls in flight for d, on one connection, and returns how many there were, and how many per second.
func v2Calls(ctx context.Context, conn *grpc.ClientConn, n int, d time.Duration, messages [][]byte) (uint64, float64, error) {
	var next atomic.Uint64
	var wg sync.WaitGroup
	failures := make([]error, n)
	start := time.Now()
	for i := range failures {
		wg.Go(func() {
			for time.Since(start) < d && failures[i] == nil && ctx.Err() == nil {
				message, answer := messages[next.Add(1)%uint64(len(messages))], []byte(nil)
				failures[i] = conn.Invoke(ctx, pb.GRPCInferenceService_ModelInfer_FullMethodName, message, &answer, grpc.ForceCodec(encoded{}))
				if failures[i] == nil && len(answer) == 0 {
					failures[i] = errors.New("an empty response")
				}
			}
		})
	}
	wg.Wait()
	return next.Load(), float64(next.Load()) / time.Since(start).Seconds(), errors.Join(failures...)
}

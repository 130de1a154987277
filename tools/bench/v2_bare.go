package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"fovea/api/v2grpc/pb"
	"fovea/inference/onnx"
	"fovea/tools/bench/proc"
)

// bareAddresses are where the servers of bareServer listen.
type bareAddresses struct{ HTTP, GRPC string }

// bare is the least that a server in Go does for a tensor: net/http or grpc-go receive it, it is copied once to the input of a batch, and
// nothing is checked. What it takes more than the loop is what the libraries and the kernel take.
type bare struct{ batches chan *onnx.Batch }

// bareServer runs both servers until it is terminated. It prints their addresses as JSON.
func bareServer(ctx context.Context, o options, out io.Writer) (err error) {
	l, err := newLoop(o, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	b := &bare{make(chan *onnx.Batch, len(l.workers))}
	for _, batch := range l.workers {
		b.batches <- batch
	}
	config := net.ListenConfig{}
	web, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	rpc, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	const window = 2 << 20 // as in package httpserver
	calls := grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window),
		grpc.ForceServerCodecV2(unparsed{}), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error { return b.call(s) }))
	requests := &http.Server{Handler: b, ReadHeaderTimeout: proc.StopLimit}
	ended := make(chan error, 2)
	go func() { ended <- requests.Serve(web) }()
	go func() { ended <- calls.Serve(rpc) }()
	if err := json.NewEncoder(out).Encode(bareAddresses{web.Addr().String(), rpc.Addr().String()}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case err = <-ended:
	}
	calls.Stop()
	return errors.Join(err, requests.Close())
}

// ServeHTTP implements http.Handler: it runs the tensor after the JSON of a request's body, and responds to /metrics as serve does.
func (b *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/metrics" {
		_, _ = fmt.Fprintf(w, "go_memstats_mallocs_total %d\n", heapMallocs())
		return
	}
	batch := <-b.batches
	defer func() { b.batches <- batch }()
	header, err := strconv.ParseInt(r.Header.Get("Inference-Header-Content-Length"), 10, 64)
	if err == nil {
		_, err = io.CopyN(io.Discard, r.Body, header)
	}
	if err == nil {
		_, err = io.ReadFull(r.Body, batch.Input(0, 0))
	}
	if err == nil {
		err = batch.Run(r.Context(), 1)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	output := batch.Outputs(0)[0].Data
	w.Header().Set("Content-Length", strconv.Itoa(len(output)))
	_, _ = w.Write(output)
}

// call answers a call whose message ends with the tensor.
func (b *bare) call(s grpc.ServerStream) error {
	var message mem.BufferSlice
	if err := s.RecvMsg(&message); err != nil {
		return err
	}
	defer message.Free()
	batch := <-b.batches
	defer func() { b.batches <- batch }()
	to, reader := batch.Input(0, 0), message.Reader()
	if _, err := io.CopyN(io.Discard, reader, int64(message.Len()-len(to))); err != nil {
		return err
	}
	if _, err := io.ReadFull(reader, to); err != nil {
		return err
	}
	if err := batch.Run(s.Context(), 1); err != nil {
		return err
	}
	answer, err := proto.Marshal(&pb.ModelInferResponse{RawOutputContents: [][]byte{batch.Outputs(0)[0].Data}})
	if err != nil {
		return err
	}
	return s.SendMsg(mem.BufferSlice{mem.SliceBuffer(answer)})
}

// unparsed is a codec of messages that are left as they are.
type unparsed struct{}

// Marshal implements encoding.CodecV2.
func (unparsed) Marshal(message any) (mem.BufferSlice, error) { return message.(mem.BufferSlice), nil }

// Unmarshal implements encoding.CodecV2.
func (unparsed) Unmarshal(data mem.BufferSlice, message any) error {
	data.Ref()
	*message.(*mem.BufferSlice) = data
	return nil
}

// Name implements encoding.CodecV2.
func (unparsed) Name() string { return "proto" }

// startBare runs bareServer in a separate process.
func startBare(o options) (s *server, grpcAddress string, err error) {
	child, err := startChild(o, "v2-bare")
	if err != nil {
		return nil, "", err
	}
	var at bareAddresses
	if err := child.decode(&at); err != nil {
		child.stop()
		return nil, "", err
	}
	child.base = "http://" + at.HTTP
	return &child.server, at.GRPC, nil
}

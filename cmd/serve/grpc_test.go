package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"fovea/api/v2grpc/pb"
	"fovea/internal/apikey"
	"fovea/internal/testenv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// grpcAddress is where the server listens for gRPC, from its log.
func (p *process) grpcAddress() (address string) {
	p.t.Helper()
	p.wait("the server listens for gRPC", func() bool {
		for text := range strings.SplitSeq(p.logged(), "\n") {
			var line struct{ Msg, Address string }
			if json.Unmarshal([]byte(text), &line) == nil && line.Msg == "listening for gRPC" {
				address = line.Address
			}
		}
		return address != ""
	})
	return address
}

// gRPC and the Open Inference Protocol over HTTP have the certificates, client certificates and keys of the server's other routes.
func TestGRPCWithTLSAndKeys(t *testing.T) {
	ca, dir := testenv.NewCA(t), t.TempDir()
	certificate, key := ca.Files(dir, "server")
	file := filepath.Join(dir, "keys.yaml")
	allowed, other := newTestKey(t, file, "allowed", "--models="+model), newTestKey(t, file, "other", "--models=another")
	p := start(t, newRepository(t), "--grpc.address=127.0.0.1:0", "--http.keys="+file, "--http.tls.certificate="+certificate, "--http.tls.key="+key,
		"--http.tls.client_ca="+ca.File(dir), "--http.tls.client_names=camera")
	trusted := &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{ca.Pair("camera")}}
	p.secure(trusted, true)
	p.waitReady()

	infer := func(cfg *tls.Config, header, value string) error {
		connection, err := grpc.NewClient(p.grpcAddress(), grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		ctx := metadata.AppendToOutgoingContext(t.Context(), header, value)
		image := testenv.Image(t, "coffee.jpg")
		content := append([]byte{byte(len(image)), byte(len(image) >> 8), byte(len(image) >> 16), 0}, image...)
		_, err = pb.NewGRPCInferenceServiceClient(connection).ModelInfer(ctx, &pb.ModelInferRequest{ModelName: model + ".image",
			Inputs:           []*pb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "BYTES", Shape: []int64{1, 1}}},
			RawInputContents: [][]byte{content}})
		return err
	}
	for _, test := range []struct {
		name          string
		cfg           *tls.Config
		header, value string
		want          codes.Code
	}{
		{"an allowed key", trusted, "authorization", "Bearer " + allowed, codes.OK},
		{"an allowed key in the other header", trusted, "x-api-key", allowed, codes.OK},
		{"a key of another model", trusted, "x-api-key", other, codes.PermissionDenied},
		{"a wrong key", trusted, "x-api-key", apikey.New(), codes.Unauthenticated},
		{"no key", trusted, "x-other", "x", codes.Unauthenticated},
		{"no client certificate", &tls.Config{RootCAs: ca.Pool()}, "x-api-key", allowed, codes.Unavailable},
		{"a client certificate with another name", &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{ca.Pair("printer")}}, "x-api-key", allowed, codes.Unavailable},
	} {
		if err := infer(test.cfg, test.header, test.value); status.Code(err) != test.want {
			t.Errorf("gRPC with %s: %v, want %s", test.name, err, test.want)
		}
	}
	body := []byte(`{"inputs":[]}`)
	for _, test := range []struct {
		name, method, path, secret string
		want                       int
	}{
		{"liveness without a key", "GET", "/v2/health/live", "", 200},
		{"readiness without a key", "GET", "/v2/health/ready", "", 200},
		{"metadata without a key", "GET", "/v2/models/" + model, "", 401},
		{"metadata", "GET", "/v2/models/" + model, allowed, 200},
		{"metadata of another model", "GET", "/v2/models/" + model, other, 403},
		{"inference with another model", "POST", "/v2/models/" + model + "/infer", other, 403},
		{"inference with another model's view", "POST", "/v2/models/" + model + ".image/infer", other, 403},
		{"inference, with a wrong body", "POST", "/v2/models/" + model + ".image/infer", allowed, 400},
		{"a load without its scope", "POST", "/v2/repository/models/" + model + "/load", allowed, 403},
	} {
		got, err := p.do(test.method, test.path, http.Header{"X-Api-Key": {test.secret}}, bytes.NewReader(body))
		if err != nil || got.status != test.want {
			t.Errorf("%s: %d %s, %v; want %d", test.name, got.status, got.body, err, test.want)
		}
	}
}

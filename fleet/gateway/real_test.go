package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"fovea/api/v2grpc/pb"
	"fovea/internal/apikey"
	"fovea/internal/onnxwriter"
	"fovea/internal/testenv"
)

// realReplica is a process of the real server.
type realReplica struct {
	Replica

	cmd    *exec.Cmd
	exited chan struct{}
}

// buildServer builds the real server once, in a folder that TestMain removes.
var buildServer = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gateway")
	if err != nil {
		return "", err
	}
	builtIn = dir
	program := filepath.Join(dir, "serve")
	if out, err := exec.Command("go", "build", "-o", program, "fovea/cmd/serve").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return program, nil
})

// builtIn is the folder of the server, if it was built.
var builtIn string

// realReplicas starts processes that serve models a and b, whose output is their input.
func realReplicas(t *testing.T, n int) []*realReplica {
	t.Helper()
	dir := t.TempDir()
	program, err := buildServer()
	if err != nil {
		t.Fatal(err)
	}
	file := onnxwriter.Identity(onnxwriter.Float, "n", 4).Bytes()
	for _, model := range []string{"a", "b"} {
		folder := filepath.Join(dir, "models", model)
		if err := os.MkdirAll(filepath.Join(folder, "1"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{"model.yaml": []byte("task: none"), "1/model.onnx": file} {
			if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	replicas := make([]*realReplica, n)
	for i := range replicas {
		replicas[i] = startReal(t, program, filepath.Join(dir, "models"), "real"+itoa(i))
	}
	for _, r := range replicas {
		until(t, r.ID+" is ready", func() bool {
			res, err := http.Get(r.URL + "/ready")
			if err != nil {
				return false
			}
			_ = res.Body.Close()
			return res.StatusCode == http.StatusOK
		})
	}
	http.DefaultClient.CloseIdleConnections()
	return replicas
}

func startReal(t *testing.T, program, models, id string) *realReplica {
	t.Helper()
	r := &realReplica{exited: make(chan struct{})}
	r.ID = id
	r.cmd = exec.Command(program, "--repository.dir="+models, "--inference.device=cpu", "--inference.threads=1", "--inference.library="+testenv.ORTLibrary(t), "--log.format=json",
		"--http.address=127.0.0.1:0", "--grpc.address=127.0.0.1:0", "--http.client_share=1", "--shutdown.delay=0s")
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "FOVEA_") {
			r.cmd.Env = append(r.cmd.Env, pair)
		}
	}
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addresses := make(chan [2]string, 8)
	go func() {
		defer close(r.exited)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && strings.HasPrefix(line.Msg, "listening") {
				addresses <- [2]string{line.Msg, line.Address}
			}
		}
		_ = r.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		wait(t, "the process ends", r.exited)
	})
	for r.URL == "" || r.GRPC == "" {
		if at := wait(t, id+" listens", addresses); at[0] == "listening" {
			r.URL = "http://" + at[1]
		} else {
			r.GRPC = at[1]
		}
	}
	return r
}

// row is a request with distinct numbers.
func row(model string, n int) *pb.ModelInferRequest {
	return &pb.ModelInferRequest{ModelName: model, Id: itoa(n), Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "FP32", Shape: []int64{1, 4}}},
		RawInputContents: [][]byte{binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(n)), uint64(n))}}
}

func checkRow(m *pb.ModelInferResponse, n int) error {
	if out := m.GetRawOutputContents(); m.GetId() != itoa(n) || len(out) != 1 || !bytes.Equal(out[0], row("", n).GetRawInputContents()[0]) {
		return fmt.Errorf("request %d was answered with %s, %x", n, m.GetId(), out)
	}
	return nil
}

// Calls and streams lose nothing when one of several real replicas is drained and stopped; calls do not when one is killed.
func TestRealReplicasUnderLoad(t *testing.T) {
	replicas := realReplicas(t, 4)
	list := []Replica{}
	for _, r := range replicas {
		list = append(list, r.Replica)
	}
	f := startCalls(t, nil, list...)
	var answered, failed atomic.Int64
	load := func(one func(n int) error) (end func()) {
		stop := make(chan struct{})
		var clients sync.WaitGroup
		for i := range 4 {
			clients.Go(func() {
				for n := i << 24; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					if err := one(n); err != nil {
						failed.Add(1)
						t.Errorf("request %d: %v", n, err)
						return
					}
					answered.Add(1)
				}
			})
		}
		return func() {
			close(stop)
			clients.Wait()
		}
	}
	served := func(n int64) {
		t.Helper()
		from := answered.Load()
		until(t, "requests are answered", func() bool { return answered.Load() >= from+n || t.Failed() })
	}
	call := func(n int) error {
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		m, err := f.ModelInfer(ctx, row("a", n))
		if err != nil {
			return err
		}
		return checkRow(m, n)
	}

	end := load(call)
	served(200)
	_ = replicas[3].cmd.Process.Kill()
	wait(t, "the end of a replica", replicas[3].exited)
	served(200)
	setReplicas(t, f.balancer, list[:3]...) // as the supervisor does
	served(200)
	end()

	streams := map[int]inferStream{}
	for i := range 4 {
		ctx, cancel := context.WithTimeout(t.Context(), 3*testTimeout)
		defer cancel()
		stream, err := f.ModelStreamInfer(ctx)
		if err != nil {
			t.Fatal(err)
		}
		streams[i] = stream
	}
	endCalls := load(call)
	endStreams := load(func(n int) error {
		stream := streams[n>>24]
		if err := stream.Send(row("b", n)); err != nil {
			return err
		}
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		return checkRow(m.GetInferResponse(), n)
	})
	for i := range 2 {
		served(400)
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		if err := f.balancer.Drain(ctx, replicas[i].ID); err != nil {
			t.Error(err)
		}
		cancel()
		_ = replicas[i].cmd.Process.Signal(syscall.SIGTERM)
		wait(t, "the end of a replica", replicas[i].exited)
		setReplicas(t, f.balancer, list[i+1:3]...)
	}
	served(400)
	endStreams()
	endCalls()
	for _, stream := range streams {
		_ = stream.CloseSend()
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("the end of a stream: %v", err)
		}
	}
	t.Logf("%d requests answered, %d failed", answered.Load(), failed.Load())
}

// What real replicas answer is what clients get, and they keep to the models of a key.
func TestRealReplicaBehindTheGateway(t *testing.T) {
	replica := realReplicas(t, 1)[0].Replica
	path, keys := testenv.KeyFile(t, apikey.Key{Name: "some", Scopes: []string{"predict", "models"}, Models: []string{"a"}},
		apikey.Key{Name: "all", Scopes: []string{"predict", "models", "admin"}})
	f := startCalls(t, func(c *Config) { c.Access.Keys = path }, replica)
	direct := pb.NewGRPCInferenceServiceClient(dialCalls(t, replica.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials())))
	all := withKey(t.Context(), keys["all"])
	huge := row("a", 1)
	huge.RawInputContents[0] = make([]byte, 65<<20)
	wrong := row("a", 1)
	wrong.RawInputContents[0] = []byte{1}
	for name, request := range map[string]*pb.ModelInferRequest{"good": row("a", 1), "unknown model": row("c", 1), "wrong size": wrong, "too large": huge} {
		want, wantErr := direct.ModelInfer(t.Context(), request)
		got, err := f.ModelInfer(all, request)
		if status.Code(err) != status.Code(wantErr) || status.Convert(err).Message() != status.Convert(wantErr).Message() || (wantErr == nil) != (name == "good") {
			t.Errorf("%s: %v, directly %v", name, err, wantErr)
		}
		if wantErr == nil && !bytes.Equal(got.GetRawOutputContents()[0], want.GetRawOutputContents()[0]) {
			t.Errorf("%s: %v, directly %v", name, got, want)
		}
	}
	some := withKey(t.Context(), keys["some"])
	if _, err := f.ModelInfer(some, row("a", 1)); err != nil {
		t.Errorf("a model of the key: %v", err)
	}
	if _, err := f.ModelInfer(some, row("b", 1)); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), `may not use model "b"; it may use a`) {
		t.Errorf("another model: %v", err)
	}
	index, err := f.RepositoryIndex(some, &pb.RepositoryIndexRequest{})
	if err != nil || slices.ContainsFunc(index.GetModels(), func(m *pb.RepositoryIndexResponse_ModelIndex) bool { return m.GetName() != "a" }) || len(index.GetModels()) == 0 {
		t.Errorf("the list of models: %v, %v", index, err)
	}
	stream, err := f.ModelStreamInfer(some)
	if err != nil {
		t.Fatal(err)
	}
	for _, model := range []string{"b", "a"} {
		_ = stream.Send(row(model, 1))
		if m, err := stream.Recv(); err != nil || (m.GetErrorMessage() == "") != (model == "a") {
			t.Errorf("in a stream, model %s: %v, %v", model, m, err)
		}
	}
	if m, err := f.ServerLive(t.Context(), &pb.ServerLiveRequest{}); err != nil || !m.GetLive() {
		t.Errorf("live without a key: %v, %v", m, err)
	}
	if m, err := f.ServerReady(t.Context(), &pb.ServerReadyRequest{}); err != nil || !m.GetReady() {
		t.Errorf("ready without a key: %v, %v", m, err)
	}
}

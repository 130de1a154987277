package fleet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"fovea/api/v2grpc/pb"
	"fovea/docker"
	"fovea/internal/httpserver"
)

// fakeEngine is an engine whose containers are servers in the test's process. Tests with the build tag engine use a
// real one; this one is for tests under the race detector.
type fakeEngine struct {
	id         string // unique on the host, where supervisors lock names by it
	mu         sync.Mutex
	ids        int
	containers map[string]*engineContainer
	events     chan docker.Event
	graces     []time.Duration // of all stops of running containers

	held    atomic.Int32  // requests with the body "hold"
	release chan struct{} // ends them
}

type engineContainer struct {
	spec   docker.Spec
	status docker.Status
	server *httptest.Server
	calls  *http.Server // for gRPC; nil: none
}

func newFakeEngine() *fakeEngine {
	return &fakeEngine{id: rand.Text(), containers: map[string]*engineContainer{}, events: make(chan docker.Event, 64), release: make(chan struct{})}
}

func (e *fakeEngine) Info(context.Context) (docker.Info, error) {
	return docker.Info{ID: e.id}, nil
}

func (*fakeEngine) EnsureNetwork(context.Context, string, string) error { return nil }
func (*fakeEngine) RemoveNetwork(context.Context, string, string) error { return nil }

func (*fakeEngine) ImageInfo(_ context.Context, ref string) (docker.Image, error) {
	if ref == "missing" {
		return docker.Image{}, fmt.Errorf("image: %w", docker.ErrNoImage)
	}
	return docker.Image{ID: "sha256:" + ref, User: "65532:65532", Labels: map[string]string{docker.LabelVersion: ref}}, nil
}

func (e *fakeEngine) Create(_ context.Context, s docker.Spec) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range e.containers {
		if b.spec.Name == s.Name {
			return "", docker.ErrConflict
		}
	}
	e.ids++
	id := strconv.Itoa(e.ids)
	labels := map[string]string{docker.LabelHash: s.Hash()}
	for name, value := range s.Labels {
		labels[name] = value
	}
	e.containers[id] = &engineContainer{spec: s, status: docker.Status{
		Summary: docker.Summary{ID: id, Name: s.Name, State: docker.Created, Labels: labels},
	}}
	return id, nil
}

func (e *fakeEngine) Start(_ context.Context, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.containers[id]
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); string(body) == "hold" {
			e.held.Add(1)
			select {
			case <-e.release:
			case <-r.Context().Done():
			}
		}
		fmt.Fprint(w, `{"status":"ready","reasons":[]}`)
	}))
	u, err := url.Parse(b.server.URL)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		return err
	}
	if b.status.HostPort, err = strconv.Atoi(port); err != nil {
		return err
	}
	b.status.State = docker.Running
	if !b.spec.GRPC {
		return nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	tcp, _ := l.Addr().(*net.TCPAddr) // what it is
	b.status.GRPCPort = tcp.Port
	calls := grpc.NewServer()
	pb.RegisterGRPCInferenceServiceServer(calls, &fakeService{id: id})
	b.calls = httpserver.New(calls, 0, 0, slog.New(slog.DiscardHandler))
	go func() { _ = httpserver.Serve(b.calls, l) }()
	return nil
}

// fakeService answers the calls of a container.
type fakeService struct {
	pb.UnimplementedGRPCInferenceServiceServer

	id string
}

func (s *fakeService) ServerMetadata(context.Context, *pb.ServerMetadataRequest) (*pb.ServerMetadataResponse, error) {
	return &pb.ServerMetadataResponse{Name: s.id}, nil
}

// kill ends a container immediately.
func (e *fakeEngine) kill(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, b := range e.containers {
		if b.spec.Name == name && b.server != nil {
			b.server.CloseClientConnections()
			b.server.Close()
			if b.calls != nil {
				_ = b.calls.Close()
			}
			b.server, b.status.State, b.status.ExitCode, b.status.HostPort, b.status.GRPCPort = nil, docker.Exited, 137, 0, 0
			e.events <- docker.Event{ID: id, Action: "die"}
		}
	}
}

func (e *fakeEngine) Stop(_ context.Context, id string, grace time.Duration) error {
	e.mu.Lock()
	b, ok := e.containers[id]
	if ok && b.server != nil {
		e.graces = append(e.graces, grace)
	}
	e.mu.Unlock()
	if !ok {
		return docker.ErrNotFound
	}
	e.kill(b.spec.Name)
	return nil
}

func (e *fakeEngine) Remove(ctx context.Context, id string) error {
	if err := e.Stop(ctx, id, 0); err != nil && !errors.Is(err, docker.ErrNotFound) {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.containers, id)
	return nil
}

func (e *fakeEngine) Inspect(_ context.Context, ref string) (docker.Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, b := range e.containers {
		if id == ref || b.spec.Name == ref {
			return b.status, nil
		}
	}
	return docker.Status{}, docker.ErrNotFound
}

func (e *fakeEngine) List(context.Context, map[string]string) ([]docker.Summary, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []docker.Summary
	for _, b := range e.containers {
		list = append(list, b.status.Summary)
	}
	return list, nil
}

func (e *fakeEngine) Events(ctx context.Context, _ map[string]string) (<-chan docker.Event, <-chan error) {
	out, failed := make(chan docker.Event), make(chan error, 1)
	go func() {
		defer close(out)
		for {
			select {
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			case event := <-e.events:
				select {
				case out <- event:
				case <-ctx.Done():
					failed <- ctx.Err()
					return
				}
			}
		}
	}()
	return out, failed
}

func (*fakeEngine) Logs(context.Context, string, int) ([]string, error) {
	return []string{"a line"}, nil
}

func (*fakeEngine) FollowLogs(_ context.Context, _ string, _ int, w io.Writer) error {
	_, err := fmt.Fprintln(w, "a line that follows")
	return err
}

func (e *fakeEngine) names() map[string]bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	names := map[string]bool{}
	for _, b := range e.containers {
		names[b.spec.Name] = true
	}
	return names
}

var _ ContainerEngine = (*fakeEngine)(nil)

package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"time"

	"fovea/internal/httpserver"
)

// The control API is JSON over HTTP on the socket:
//
//	GET  /status                 Status
//	POST /rollout                reloads the configuration and starts a rollout
//	POST /drain?gpu=G            G: index or UUID
//	POST /resume?name=N          N: a GPU's index or UUID, or a replica
//	POST /down                   starts to stop everything
//	GET  /logs?replica=R&tail=N&follow=true
//
// Errors are {"error": "…"} with status 400, 404 or 409, or 503 while the supervisor shuts down.

const maxTail = 10000

// statusError is an error with its HTTP status.
type statusError struct {
	status int
	err    error
}

func (e statusError) Error() string { return e.err.Error() }

func (s *Supervisor) controlServer(ctx context.Context) *http.Server {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body, err := f(r)
			respond(w, r, body, err)
		})
	}
	handle("GET /status", func(r *http.Request) (any, error) { return s.ask(r, func() error { return nil }) })
	handle("POST /rollout", s.startRollout)
	handle("POST /drain", s.named("gpu", s.machine.drainGPU))
	handle("POST /resume", s.named("name", s.machine.resume))
	handle("POST /down", func(r *http.Request) (any, error) { return s.ask(r, func() error { s.machine.end(); return nil }) })
	mux.HandleFunc("GET /logs", s.showLogs)
	server := httpserver.New(mux, 10*time.Second, 0, s.log)
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	return server
}

// respond writes a command's result, or its error.
func respond(w http.ResponseWriter, r *http.Request, body any, err error) {
	if err == nil {
		httpserver.WriteJSON(w, http.StatusOK, body)
		return
	}
	status := http.StatusConflict
	if failed, ok := errors.AsType[statusError](err); ok {
		status = failed.status
	}
	if r.Context().Err() != nil { // The supervisor is shutting down, or the client is gone.
		status, err = http.StatusServiceUnavailable, ErrShuttingDown
	}
	httpserver.WriteJSON(w, status, map[string]string{"error": err.Error()})
}

// ask runs a command in the loop and returns the status after it.
func (s *Supervisor) ask(r *http.Request, command func() error) (Status, error) {
	var status Status
	var err error
	done := make(chan struct{})
	run := func() {
		defer close(done)
		err = command()
		status = s.status()
	}
	select {
	case s.commands <- run:
	case <-r.Context().Done():
		return Status{}, r.Context().Err()
	}
	<-done
	return status, err
}

// status must be called in the loop.
func (s *Supervisor) status() Status {
	status := s.machine.status()
	status.Gateway, status.GRPC = s.address, s.grpcAddress
	for i := range status.Replicas {
		status.Replicas[i].InFlight = s.gateway.Balancer().InFlight(status.Replicas[i].Name)
	}
	if s.saveErr != nil {
		status.Problems = append(status.Problems, s.saveErr.Error())
	}
	return status
}

// startRollout reloads the configuration and starts a rollout. Changes that need a restart of the supervisor are
// refused.
func (s *Supervisor) startRollout(r *http.Request) (any, error) {
	cfg, err := s.deps.Reload()
	if err == nil {
		err = s.cfg.compatible(cfg)
	}
	var d Deployment
	if err == nil {
		d, err = s.deployment(r.Context(), cfg)
	}
	if err != nil {
		return nil, statusError{http.StatusBadRequest, err}
	}
	return s.ask(r, func() error {
		if err := s.machine.deploy(d); err != nil {
			return err
		}
		m := s.machine
		m.cfg.Health, m.cfg.Restart, m.cfg.Rollout, m.cfg.StopTimeout = cfg.Health, cfg.Restart, cfg.Rollout, cfg.StopTimeout
		return nil
	})
}

// compatible reports which changes a rollout cannot apply.
func (c Config) compatible(next Config) error {
	var errs []error
	fixed := func(key string, same bool) {
		if !same {
			errs = append(errs, fmt.Errorf("%s: requires a restart of the supervisor; replicas keep running meanwhile", key))
		}
	}
	fixed("name", c.Name == next.Name)
	fixed("gpus", c.GPUs.All == next.GPUs.All && slices.Equal(c.GPUs.List, next.GPUs.List))
	fixed("replicas", c.Replicas == next.Replicas)
	fixed("network", c.network() == next.network())
	fixed("gateway", reflect.DeepEqual(c.Gateway, next.Gateway))
	fixed("engine", c.Engine == next.Engine)
	fixed("socket", c.Socket == next.Socket)
	fixed("state", c.State == next.State)
	fixed("log", c.Log == next.Log)
	fixed("health.timeout", c.Health.Timeout == next.Health.Timeout)
	g := next.GPU
	g.Driver = c.GPU.Driver // part of the container
	fixed("gpu", c.GPU == g)
	return errors.Join(errs...)
}

// named runs a command for what a parameter of the query names.
func (s *Supervisor) named(parameter string, command func(name string) error) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		return s.ask(r, func() error {
			if err := command(s.machine.gpuNamed(r.URL.Query().Get(parameter))); err != nil {
				return statusError{http.StatusNotFound, err}
			}
			return nil
		})
	}
}

// gpuNamed returns the UUID of the GPU with an index, or of a MIG instance. Other names are returned unchanged.
func (m *machine) gpuNamed(name string) string {
	for _, g := range m.gpus {
		if g.Index >= 0 && strconv.Itoa(g.Index) == name {
			return g.GPU
		}
	}
	for _, s := range m.placements {
		if s.Device != "" && s.Device == name {
			return s.GPU
		}
	}
	return name
}

// showLogs writes a replica's last log lines, and follows them if requested.
func (s *Supervisor) showLogs(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	tail, err := strconv.Atoi(query.Get("tail"))
	if err != nil || tail < 0 || tail > maxTail {
		tail = 100
	}
	container, lines, err := s.logOf(r, query.Get("replica"))
	if err != nil {
		respond(w, r, nil, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	switch {
	case container == "": // It has ended; these are its last lines.
	case query.Get("follow") == "true":
		err, lines = s.deps.Engine.FollowLogs(r.Context(), container, tail, flusher{w}), nil
	default:
		lines, err = s.deps.Engine.Logs(r.Context(), container, tail)
	}
	if err != nil && r.Context().Err() == nil {
		lines = []string{"supervise: " + err.Error()}
	}
	for _, line := range lines {
		fmt.Fprintln(w, line) //nolint:gosec // G705: it is plain text
	}
}

// logOf finds a replica's container, or the last lines of one that ended.
func (s *Supervisor) logOf(r *http.Request, name string) (container string, lines []string, err error) {
	_, err = s.ask(r, func() error {
		for _, placement := range s.machine.placements {
			if !placement.named(name) {
				continue
			}
			lines = placement.logs
			for _, replica := range placement.replicas() {
				if container == "" || replica.id == name || replica.name == name {
					container = replica.container
				}
			}
			return nil
		}
		return statusError{http.StatusNotFound, fmt.Errorf("no replica named %q", name)}
	})
	return container, lines, err
}

// flusher flushes each write.
type flusher struct{ w http.ResponseWriter }

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	return n, errors.Join(err, http.NewResponseController(f.w).Flush())
}

// listenUnix listens for the control API. The caller holds the lock of the socket, so an existing socket is stale.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if stat, err := os.Lstat(path); err == nil && stat.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("socket: %s exists and is not a socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("socket: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("socket: %w", err), listener.Close())
	}
	return listener, nil
}

// endControl lets responses in progress finish for a second.
func endControl(api *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := api.Shutdown(ctx); err != nil {
		_ = api.Close() // Its listener is closed already.
	}
}

package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"fovea/docker"
	"fovea/internal/httpserver"
)

// The control API is JSON over HTTP on the socket:
//
//	GET  /status                 Status
//	POST /rollout                reads the configuration anew and begins a roll-out
//	POST /drain?gpu=G            G: index or UUID
//	POST /resume?name=N          N: a GPU's index or UUID, or a replica
//	POST /down                   begins to stop everything
//	GET  /logs?replica=R&tail=N&follow=true
//
// Errors are {"error": "…"} with status 400, 404 or 409, and with 503 when the supervisor ends.

const maxTail = 10000

// problem is an error with its HTTP status.
type problem struct {
	status int
	err    error
}

func (p problem) Error() string { return p.err.Error() }

func (s *Supervisor) controlServer(ctx context.Context) *http.Server {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { answer(w, r, f) })
	}
	handle("GET /status", s.showStatus)
	handle("POST /rollout", s.startRollout)
	handle("POST /drain", s.drainGPU)
	handle("POST /resume", s.resume)
	handle("POST /down", func(r *http.Request) (any, error) { return s.ask(r, func() error { s.machine.end(); return nil }) })
	mux.HandleFunc("GET /logs", s.showLogs)
	server := httpserver.New(mux, 10*time.Second, 0, s.log)
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	return server
}

func answer(w http.ResponseWriter, r *http.Request, f func(*http.Request) (any, error)) {
	body, err := f(r)
	status := http.StatusOK
	if err != nil {
		var p problem
		status, body = http.StatusConflict, map[string]string{"error": err.Error()}
		switch {
		case r.Context().Err() != nil: // Its own end; or who asked has gone.
			status, body = http.StatusServiceUnavailable, map[string]string{"error": "it is ending"}
		case errors.As(err, &p):
			status = p.status
		}
	}
	httpserver.WriteJSON(w, status, body)
}

// ask runs a command in the loop, and answers with the status after it.
func (s *Supervisor) ask(r *http.Request, command func() error) (Status, error) {
	type result struct {
		status Status
		err    error
	}
	results := make(chan result, 1)
	run := func() {
		err := command()
		results <- result{s.status(), err}
	}
	select {
	case s.commands <- run:
	case <-r.Context().Done():
		return Status{}, r.Context().Err()
	}
	answer := <-results
	return answer.status, answer.err
}

// status is called in the loop.
func (s *Supervisor) status() Status {
	status := s.machine.status()
	status.Gateway = s.address
	for i := range status.Replicas {
		status.Replicas[i].InFlight = s.gateway.Pool().InFlight(status.Replicas[i].Name)
	}
	if s.unstored != nil {
		status.Problems = append(status.Problems, s.unstored.Error())
	}
	return status
}

func (s *Supervisor) showStatus(r *http.Request) (any, error) {
	return s.ask(r, func() error { return nil })
}

// startRollout reads the file anew. What cannot change under a running supervisor is refused.
func (s *Supervisor) startRollout(r *http.Request) (any, error) {
	cfg, err := s.with.Reload()
	if err != nil {
		return nil, problem{http.StatusBadRequest, err}
	}
	if err := s.cfg.compatible(cfg); err != nil {
		return nil, problem{http.StatusBadRequest, err}
	}
	d, err := s.deployment(r.Context(), cfg)
	if err != nil {
		return nil, problem{http.StatusBadRequest, err}
	}
	return s.ask(r, func() error {
		m := s.machine
		if err := m.deploy(d); err != nil {
			return err
		}
		m.cfg.Health, m.cfg.Restart, m.cfg.Rollout, m.cfg.Stop = cfg.Health, cfg.Restart, cfg.Rollout, cfg.Stop
		return nil
	})
}

// compatible tells whether a roll-out can bring the change about.
func (c Config) compatible(next Config) error {
	var mistakes []error
	fixed := func(key string, same bool) {
		if !same {
			mistakes = append(mistakes, fmt.Errorf("%s: changes only when supervise itself is restarted; replicas go on meanwhile", key))
		}
	}
	fixed("name", c.Name == next.Name)
	fixed("gpus", c.GPUs.All == next.GPUs.All && slices.Equal(c.GPUs.List, next.GPUs.List))
	fixed("replicas", c.Replicas == next.Replicas)
	fixed("network", c.network() == next.network())
	fixed("gateway", c.Gateway == next.Gateway)
	fixed("engine", c.Engine == next.Engine)
	fixed("socket", c.Socket == next.Socket)
	fixed("state", c.State == next.State)
	fixed("log", c.Log == next.Log)
	fixed("health.timeout", c.Health.Timeout == next.Health.Timeout)
	g := next.GPU
	g.Driver = c.GPU.Driver // part of the container
	fixed("gpu", c.GPU == g)
	return errors.Join(mistakes...)
}

func (s *Supervisor) drainGPU(r *http.Request) (any, error) {
	name := r.URL.Query().Get("gpu")
	return s.ask(r, func() error {
		if err := s.machine.drainGPU(s.machine.gpuNamed(name)); err != nil {
			return problem{http.StatusNotFound, err}
		}
		return nil
	})
}

func (s *Supervisor) resume(r *http.Request) (any, error) {
	name := r.URL.Query().Get("name")
	return s.ask(r, func() error {
		if err := s.machine.resume(s.machine.gpuNamed(name)); err != nil {
			return problem{http.StatusNotFound, err}
		}
		return nil
	})
}

// gpuNamed is the UUID of the GPU with an index or of an instance; other names stay as they are.
func (m *machine) gpuNamed(name string) string {
	for _, g := range m.gpus {
		if g.index >= 0 && strconv.Itoa(g.index) == name {
			return g.uuid
		}
	}
	for _, s := range m.slots {
		if s.Device != "" && s.Device == name {
			return s.GPU
		}
	}
	return name
}

var (
	_ Runtime   = (*docker.Client)(nil)
	_ io.Writer = flusher{}
)

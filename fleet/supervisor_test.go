package fleet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// limit bounds every wait; no test passes because of it.
const limit = 30 * time.Second

// testFleet is a supervisor in the test's process, with a fake engine.
type testFleet struct {
	t      *testing.T
	cfg    Config
	engine *fakeEngine
	client *Client
	stop   context.CancelFunc
	ended  chan error
}

func newTestFleet(t *testing.T) *testFleet {
	dir, err := os.MkdirTemp("", "fleet") // short: the path of a socket is limited
	if err != nil {
		t.Fatal(err)
	}
	cfg := Defaults()
	cfg.Name, cfg.Image, cfg.Replicas = "site", "v1", 2
	cfg.Socket, cfg.State = filepath.Join(dir, "s.sock"), filepath.Join(dir, "state")
	cfg.Health.Timeout = time.Minute // The gateway must serve long before.
	cfg.Restart.MinBackoff, cfg.Rollout.Monitor, cfg.Health.Interval = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	s := &testFleet{t: t, cfg: cfg, engine: newFakeEngine(), client: NewClient(cfg.Socket)}
	t.Cleanup(func() {
		s.end()
		for name := range s.engine.names() {
			s.engine.kill(name)
		}
		_ = os.RemoveAll(dir)
	})
	return s
}

func (s *testFleet) open(ctx context.Context) (*Supervisor, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	supervisor, err := Open(ctx, s.cfg, Dependencies{
		Engine: s.engine, Listener: listener, Reload: func() (Config, error) { return s.cfg, nil },
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		_ = listener.Close()
	}
	return supervisor, err
}

func (s *testFleet) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	supervisor, err := s.open(ctx)
	if err != nil {
		cancel()
		s.t.Fatal(err)
	}
	s.stop, s.ended = cancel, make(chan error, 1)
	go func() { s.ended <- supervisor.Run(ctx) }()
}

func (s *testFleet) end() {
	if s.stop == nil {
		return
	}
	s.stop()
	if err := <-s.ended; err != nil {
		s.t.Errorf("the supervisor returned %v", err)
	}
	s.stop = nil
}

func (s *testFleet) until(what string, ok func(Status) bool) Status {
	s.t.Helper()
	var status Status
	var err error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if status, err = s.client.Status(context.Background()); err == nil && ok(status) {
			return status
		}
	}
	s.t.Fatalf("not %s: %+v, %v", what, status, err)
	return status
}

func (s *testFleet) predict(status Status) {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: limit}
	response, err := client.Post("http://"+status.Gateway+"/predict", "image/jpeg", strings.NewReader("image"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		s.t.Errorf("%d %s", response.StatusCode, body)
	}
}

func allReady(s Status) bool { return s.Ready == 2 && s.Rollout == nil }

func TestFleetLifecycle(t *testing.T) {
	s := newTestFleet(t)
	s.start()
	s.predict(s.until("ready", allReady))
	if _, err := s.open(context.Background()); !errors.Is(err, ErrRunning) {
		t.Errorf("a second supervisor: %v", err)
	}

	s.engine.kill("site-cpu-0.1")
	s.predict(s.until("replaced", func(status Status) bool { return allReady(status) && status.Replicas[0].Restarts == 1 }))

	before := s.engine.names()
	s.end()
	s.start()
	status := s.until("adopted", allReady)
	s.predict(status)
	if status.Replicas[0].Restarts != 0 || len(before) != 2 || !before["site-cpu-0.1"] || !s.engine.names()["site-cpu-0.1"] {
		t.Errorf("not adopted: %v, %+v", before, status)
	}

	s.cfg.Image = "v2"
	if _, err := s.client.Rollout(context.Background()); err != nil {
		t.Fatal(err)
	}
	status = s.until("rolled out", func(status Status) bool { return allReady(status) && status.Generation == 2 })
	s.predict(status)
	if status.Version != "v2" || !s.engine.names()["site-cpu-0.2"] || len(s.engine.names()) != 2 {
		t.Errorf("%v, %+v", s.engine.names(), status)
	}

	if _, err := s.client.Down(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-s.ended; err != nil || len(s.engine.names()) != 0 {
		t.Errorf("down: %v, left %v", err, s.engine.names())
	}
	s.stop()
	s.stop = nil
}

func TestRolloutFinishesRequestsInFlight(t *testing.T) {
	s := newTestFleet(t)
	s.start()
	status := s.until("ready", allReady)
	answered := make(chan error, 1)
	go func() {
		response, err := http.Post("http://"+status.Gateway+"/predict", "image/jpeg", strings.NewReader("hold"))
		if err == nil {
			err = response.Body.Close()
		}
		if err == nil && response.StatusCode != http.StatusOK {
			err = errors.New(response.Status)
		}
		answered <- err
	}()
	s.until("in flight", func(Status) bool { return s.engine.held.Load() == 1 })
	s.cfg.Image, s.cfg.StopTimeout = "v2", 12*time.Second
	if _, err := s.client.Rollout(context.Background()); err != nil {
		t.Fatal(err)
	}
	polls := 0
	s.until("draining", func(status Status) bool {
		if slices.ContainsFunc(status.Replicas, func(r ReplicaStatus) bool { return r.State == Draining && r.InFlight == 1 }) {
			polls++
		}
		return polls == 10
	})
	close(s.engine.release)
	if err := <-answered; err != nil || s.engine.held.Load() != 1 {
		t.Errorf("sent to %d replicas: %v", s.engine.held.Load(), err)
	}
	s.until("rolled out", func(status Status) bool { return allReady(status) && status.Generation == 2 })
	s.end()
	if !slices.Equal(s.engine.graces, []time.Duration{s.cfg.StopTimeout, s.cfg.StopTimeout}) {
		t.Errorf("time to stop: %v", s.engine.graces)
	}
}

// A gateway connection that a client keeps open delays the supervisor's end for a moment.
func TestStatusWhileShuttingDown(t *testing.T) {
	s := newTestFleet(t)
	s.start()
	status := s.until("ready", allReady)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: limit}).Get("http://" + status.Gateway + "/health")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	for _, err = s.client.Down(context.Background()); err == nil; {
		_, err = s.client.Status(context.Background())
	}
	if !errors.Is(err, ErrShuttingDown) && !errors.Is(err, ErrNotRunning) {
		t.Errorf("error while shutting down: %v", err)
	}
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	s.stop()
	s.stop = nil
}

func TestCommandErrors(t *testing.T) {
	s := newTestFleet(t)
	s.start()
	s.until("ready", allReady)
	ctx := context.Background()
	for name, c := range map[string]struct {
		do     func() error
		expect string
	}{
		"drain of an unknown GPU":    {func() error { _, err := s.client.Drain(ctx, "GPU-x"); return err }, `"GPU-x" is not a GPU`},
		"resume of an unknown name":  {func() error { _, err := s.client.Resume(ctx, "x"); return err }, `"x" is neither`},
		"logs of an unknown replica": {func() error { return s.client.Logs(ctx, "x", 1, false, io.Discard) }, `no replica named "x"`},
		"rollout of a missing image": {func() error {
			s.cfg.Image = "missing"
			_, err := s.client.Rollout(ctx)
			return err
		}, "no such image"},
		"rollout to another network": {func() error {
			s.cfg.Network = "another"
			_, err := s.client.Rollout(ctx)
			s.cfg.Network = ""
			return err
		}, "network: requires a restart of the supervisor"},
		"no supervisor": {func() error {
			_, err := NewClient(filepath.Join(t.TempDir(), "none")).Status(ctx)
			return err
		}, "supervisor is not running (socket "},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.do(); err == nil || !strings.Contains(err.Error(), c.expect) {
				t.Errorf("error %v", err)
			}
		})
	}
	s.until("unchanged", allReady)
}

func TestChangesThatNeedARestart(t *testing.T) {
	for key, change := range map[string]func(*Config){
		"": func(c *Config) {
			c.Image, c.Health.StartTimeout, c.StopTimeout, c.GPU.Driver = "v2", time.Hour, time.Hour, "cdi"
		},
		"name":           func(c *Config) { c.Name = "other" },
		"gpus":           func(c *Config) { c.GPUs.List = []string{"0"} },
		"replicas":       func(c *Config) { c.Replicas++ },
		"network":        func(c *Config) { c.Network = "other" },
		"gateway":        func(c *Config) { c.Gateway.Address = "127.0.0.1:1" },
		"engine":         func(c *Config) { c.Engine.Resync++ },
		"socket":         func(c *Config) { c.Socket = "other" },
		"state":          func(c *Config) { c.State = "other" },
		"log":            func(c *Config) { c.Log.Level = "other" },
		"health.timeout": func(c *Config) { c.Health.Timeout++ },
		"gpu":            func(c *Config) { c.GPU.Poll++ },
	} {
		next := Defaults()
		change(&next)
		err := Defaults().compatible(next)
		if (err == nil) != (key == "") || err != nil && !strings.HasPrefix(err.Error(), key+": ") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestLogs(t *testing.T) {
	s := newTestFleet(t)
	s.start()
	s.until("ready", allReady)
	for follow, want := range map[bool]string{false: "a line\n", true: "a line that follows\n"} {
		var out bytes.Buffer
		if err := s.client.Logs(context.Background(), "cpu-1", 5, follow, &out); err != nil || out.String() != want {
			t.Errorf("follow %v: %q, %v", follow, out.String(), err)
		}
	}
}

func TestMissingImageAtTheFirstStart(t *testing.T) {
	s := newTestFleet(t)
	s.cfg.Image = "missing"
	if _, err := s.open(context.Background()); err == nil || !strings.Contains(err.Error(), "no such image") {
		t.Errorf("error %v", err)
	}
}

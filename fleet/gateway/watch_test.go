package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// frozen is a replica that can hang like a paused one: the kernel still accepts its connections.
type frozen struct {
	Replica
	mu     sync.Mutex
	until  chan struct{} // closed on thaw; nil: not frozen
	served atomic.Int64
}

func (z *frozen) freeze() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.until = make(chan struct{})
}

func (z *frozen) thaw() {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.until != nil {
		close(z.until)
		z.until = nil
	}
}

func (z *frozen) wait() {
	z.mu.Lock()
	until := z.until
	z.mu.Unlock()
	if until != nil {
		<-until
	}
}

func freezable(t *testing.T, id string) *frozen {
	t.Helper()
	z := &frozen{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		z.wait()
		body, err := io.ReadAll(r.Body)
		z.wait()
		if err != nil {
			return
		}
		z.served.Add(1)
		_, _ = w.Write(body)
	}))
	z.Replica = Replica{ID: id, URL: s.URL}
	t.Cleanup(func() { z.thaw(); s.Close() })
	return z
}

func state(f *fixture, id string) State {
	for _, s := range f.balancer.Status() {
		if s.ID == id {
			return s.State
		}
	}
	return Removed
}

func TestUnresponsiveReplicaFailsNoRequest(t *testing.T) {
	for name, body := range map[string]string{"small bodies": "image", "bodies beyond what sockets hold": strings.Repeat("x", 6<<20)} {
		t.Run(name, func(t *testing.T) {
			a, b := freezable(t, "a"), freezable(t, "b")
			f := start(t, func(c *Config) { c.UnresponsiveAfter = 300 * time.Millisecond }, a.Replica, b.Replica)
			a.freeze()
			for i := range 10 {
				if got := f.post("/predict", body); got.err != nil || got.status != 200 || got.body != body {
					t.Fatalf("request %d: %d %.100s %v", i, got.status, got.body, got.err)
				}
			}
			until(t, "it is unresponsive", func() bool { f.post("/predict", "image"); return state(f, "a") == Unresponsive })
			if n := a.served.Load(); n > 0 {
				t.Errorf("it answered %d requests", n)
			}
			a.thaw()
			until(t, "it is ready again", func() bool { return state(f, "a") == Ready })
			before := a.served.Load()
			until(t, "it answers again", func() bool { f.post("/predict", "image"); return a.served.Load() > before })
		})
	}
}

func TestOnlyReplicaIsWaitedFor(t *testing.T) {
	a := freezable(t, "a")
	f := start(t, func(c *Config) { c.UnresponsiveAfter = 100 * time.Millisecond }, a.Replica)
	a.freeze()
	replies := f.background(3)
	until(t, "it is unresponsive", func() bool { return state(f, "a") == Unresponsive })
	a.thaw()
	for range 3 {
		if got := wait(t, "an answer", replies); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

// A request whose body is not kept cannot be retried, and may still get a response.
func TestRequestThatCannotBeRetriedStays(t *testing.T) {
	a, b := freezable(t, "a"), freezable(t, "b")
	f := start(t, func(c *Config) { c.UnresponsiveAfter, c.ReplayMemory = 100*time.Millisecond, 0 }, a.Replica, b.Replica)
	a.freeze()
	body := strings.Repeat("x", 100_000)
	replies := make(chan reply, 2)
	for range 2 {
		go func() { replies <- f.post("/predict", body) }()
	}
	if got := wait(t, "the answer of the other", replies); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	until(t, "it is unresponsive", func() bool { return state(f, "a") == Unresponsive })
	a.thaw()
	if got := wait(t, "its answer", replies); got.status != 200 || got.body != body || a.served.Load() == 0 {
		t.Errorf("%d %.100s", got.status, got.body)
	}
}

// A replica that is slow to predict but answers /health is not unresponsive.
func TestSlowReplicaKeepsItsRequests(t *testing.T) {
	release := make(chan struct{})
	var predictions atomic.Int64
	slow := server(t, "slow", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/health" {
			return
		}
		predictions.Add(1)
		<-release
		_, _ = io.WriteString(w, "slow")
	})
	var hits atomic.Int64
	f := start(t, func(c *Config) { c.UnresponsiveAfter = 400 * time.Millisecond }, slow, server(t, "other", echo(&hits)))
	replies := f.background(1)
	until(t, "it has a prediction", func() bool { return predictions.Load() == 1 })
	m := f.balancer.listed[0]
	first := m.lastActive.Load()
	for range 4 { // for longer than unresponsive_after
		last := m.lastActive.Load()
		until(t, "activity", func() bool { return m.lastActive.Load() > last })
	}
	if state(f, "slow") != Ready || time.Duration(m.lastActive.Load()-first) < 300*time.Millisecond {
		t.Errorf("state %s", state(f, "slow"))
	}
	close(release)
	if got := wait(t, "the answer", replies); got.body != "slow" || hits.Load() != 0 {
		t.Errorf("answered with %q; the other got %d requests", got.body, hits.Load())
	}
}

func TestSuspendedGatewayBlamesNoReplica(t *testing.T) {
	p, now, _ := newTestBalancer(t, "a", "b")
	for range 2 {
		m := p.acquire()
		try := &attempt{balancer: p, backend: m, cancel: func(error) { t.Error("an attempt was ended") }}
		p.track(try)
		try.wait()
	}
	*now = now.Add(time.Hour)
	p.resetActivity()
	if ask := p.checkActivity(time.Second); len(ask) != 0 || p.Status()[0].State != Ready {
		t.Errorf("%d are probed; %+v", len(ask), p.Status())
	}
}

func TestUnresponsiveBackend(t *testing.T) {
	p, now, _ := newTestBalancer(t, "a", "b")
	a := p.acquire()
	canceled := map[string]bool{}
	send := func(name string, last bool) *attempt {
		try := &attempt{balancer: p, backend: a, last: last, cancel: func(err error) { canceled[name] = errors.Is(err, errUnresponsive) }}
		p.track(try)
		try.wait()
		return try
	}
	check := func(state State, probes int) {
		t.Helper()
		if probe := p.checkActivity(time.Second); len(probe) != probes || p.Status()[0].State != state {
			t.Errorf("%d to probe, %+v; want %d, %s", len(probe), p.Status(), probes, state)
		}
	}
	old, final := send("old", false), send("final", true)
	*now = now.Add(time.Second / probeDivisor)
	check(Ready, 1)
	*now = now.Add(time.Second / 2)
	check(Ready, 0) // a probe is in progress
	fresh := send("fresh", false)
	*now = now.Add(time.Second/probeDivisor - time.Millisecond)
	check(Ready, 0)
	if len(canceled) > 0 {
		t.Errorf("canceled early: %v", canceled)
	}
	fresh.wait() // activity on the connection
	*now = now.Add(time.Millisecond)
	check(Unresponsive, 0)
	if !canceled["old"] || len(canceled) != 1 {
		t.Errorf("canceled %v, want the old one only", canceled)
	}
	for _, try := range []*attempt{old, final, fresh} {
		p.untrack(try)
	}
	p.probed(a, false)
	check(Unresponsive, 1) // although it owes nothing
	p.probed(a, true)
	check(Ready, 0)
}

// A cooldown is never shortened by another one.
func TestCooldownsDoNotShortenEachOther(t *testing.T) {
	p, now, _ := newTestBalancer(t, "a")
	b := p.acquire()
	for range 2 * failureThreshold {
		p.record(b, false)
	}
	p.coolDown(b)
	*now = now.Add(2 * minCooldown)
	if s := p.Status()[0]; s.State != Cooldown {
		t.Errorf("%+v", s)
	}
}

func TestConsecutiveFailuresCauseACooldown(t *testing.T) {
	for name, c := range map[string]struct {
		ends string // of its requests: g(ood), b(ad)
		pass time.Duration
		want State
	}{
		"two are below the threshold":           {"bb", 0, Ready},
		"three reach it":                        {"bbb", 0, Cooldown},
		"a success in between resets the count": {"bbgbb", 0, Ready},
		"it ends":                               {"bbb", minCooldown, Ready},
		"each further one doubles it":           {"bbbb", minCooldown, Cooldown},
		"the doubled one ends":                  {"bbbb", 2 * minCooldown, Ready},
		"it is bounded":                         {strings.Repeat("b", 100), maxCooldown, Ready},
		"a success resets the doubling":         {"bbbbbbgb", maxCooldown, Ready},
		"a success does not shorten it":         {"bbbg", minCooldown / 2, Cooldown},
	} {
		t.Run(name, func(t *testing.T) {
			p, now, _ := newTestBalancer(t, "a", "b")
			m := p.acquire()
			for _, end := range c.ends {
				p.record(m, end == 'g')
			}
			*now = now.Add(c.pass)
			if got := p.Status()[0]; got.State != c.want || got.Good != int64(strings.Count(c.ends, "g")) || got.Bad != int64(strings.Count(c.ends, "b")) {
				t.Errorf("%+v, want %s", got, c.want)
			}
		})
	}
}

// Replicas misbehave at random in every way while clients send bodies of all sizes: each request gets its own correct response,
// since some replicas are healthy.
func TestNoReplicaFailureFailsARequest(t *testing.T) {
	misbehave := func(seed uint64) func(net.Conn, *bufio.Reader) {
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(seed, 1))
		return func(c net.Conn, r *bufio.Reader) {
			mu.Lock()
			kind, take := random.IntN(5), random.Int64N(200_000)
			mu.Unlock()
			switch kind {
			case 0: // a reset at once
				_ = c.(*net.TCPConn).SetLinger(0)
			case 1: // reads part of the body and hangs
				_, _ = c.Read(make([]byte, 1))
				_, _ = io.Copy(io.Discard, io.LimitReader(r, take))
				_, _ = r.Peek(r.Size() + 1)
			case 2: // an early 503
				if _, err := http.ReadRequest(r); err == nil {
					_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno")
					_, _ = io.Copy(io.Discard, io.LimitReader(r, take))
				}
			case 3: // a 503 after the body
				if _, err := readRequest(r); err == nil {
					_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno")
				}
			case 4: // part of the headers, then a reset
				if _, err := http.ReadRequest(r); err == nil {
					_, _ = io.WriteString(c, "HTTP/1.1 200 O")
					_ = c.(*net.TCPConn).SetLinger(0)
				}
			}
		}
	}
	var hits atomic.Int64
	well := []Replica{server(t, "well0", echo(&hits)), server(t, "well1", echo(&hits)), server(t, "well2", echo(&hits))}
	bad := []Replica{raw(t, "bad0", misbehave(1)), goneReplica(t, "gone")}
	f := start(t, func(c *Config) {
		c.UnresponsiveAfter, c.ResponseTimeout, c.DialTimeout, c.PoisonThreshold = 3*time.Second, 5*time.Second, testTimeout, 0
	}, append(bad, well...)...)
	var clients sync.WaitGroup
	for client := range 6 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(client), 2))
			for i := range 40 {
				body := strings.Repeat(itoa(i%10), 1+random.IntN([]int{10, 5_000, 300_000}[i%3]))
				req, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, f.url+"/predict", strings.NewReader(body))
				if random.IntN(2) == 0 {
					req.ContentLength = -1
				}
				if got := f.do(req); got.err != nil || got.status != 200 || got.body != body {
					t.Errorf("%d bytes: %d %.150q %v", len(body), got.status, got.body, got.err)
				}
			}
		})
	}
	clients.Wait()
	if log := f.log.String(); strings.Contains(log, "panic") {
		t.Errorf("a handler panicked: %.2000s", log)
	}
	if used := f.retrier.memory.used.Load(); used != 0 {
		t.Errorf("%d bytes of bodies are still kept", used)
	}
}

func TestReplayBudget(t *testing.T) {
	memory := &budget{limit: 8 * bufferSize}
	random := rand.New(rand.NewPCG(1, 1))
	var held []*replayBuffer
	for range 2000 {
		if random.IntN(3) == 0 && len(held) > 0 {
			i := random.IntN(len(held))
			held[i].drop()
			held = append(held[:i], held[i+1:]...)
			continue
		}
		r := &replayBuffer{budget: memory}
		text := strings.Repeat("abcdefg", 1+random.IntN(bufferSize/2))
		for left := text; left != ""; {
			n := 1 + random.IntN(len(left))
			r.add([]byte(left[:n]))
			left = left[n:]
		}
		held = append(held, r)
		if memory.used.Load() > memory.limit {
			t.Fatalf("%d bytes are kept of %d allowed", memory.used.Load(), memory.limit)
		}
		if r.dropped {
			continue
		}
		if got, err := io.ReadAll(&reader{r, 0}); err != nil || string(got) != text {
			t.Fatalf("%d bytes came back of %d, %v", len(got), len(text), err)
		}
	}
	for _, r := range held {
		r.drop()
	}
	if used := memory.used.Load(); used != 0 {
		t.Errorf("%d bytes were not given back", used)
	}
}

// reader reads a replay buffer.
type reader struct {
	*replayBuffer
	at int64
}

func (r *reader) Read(p []byte) (int, error) {
	if r.at == r.length {
		return 0, io.EOF
	}
	n := r.copy(p, r.at)
	r.at += int64(n)
	if n == 0 {
		return 0, errors.New("nothing came")
	}
	return n, nil
}

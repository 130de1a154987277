package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"fovea/internal/apierror"
)

func TestKillersAreTold(t *testing.T) {
	type step = func(k *killers, pass func(time.Duration))
	lost := func(sum uint64) step { return func(k *killers, _ func(time.Duration)) { k.lost(sum, false) } }
	again := func(sum uint64) step { return func(k *killers, _ func(time.Duration)) { k.lost(sum, true) } }
	answered := func(sum uint64) step { return func(k *killers, _ func(time.Duration)) { k.answered(sum) } }
	after := func(d time.Duration) step { return func(_ *killers, pass func(time.Duration)) { pass(d) } }
	for name, c := range map[string]struct {
		steps []step
		want  bool
	}{
		"a body nobody lost a replica with":                {nil, false},
		"one loss may be chance":                           {[]step{lost(1)}, false},
		"two losses are not":                               {[]step{lost(1), after(apart), lost(1)}, true},
		"losses at the same time count as one":             {[]step{lost(1), lost(1), lost(1)}, false},
		"but not on the replica that it was given to next": {[]step{lost(1), again(1)}, true},
		"another body's losses don't count":                {[]step{lost(1), after(apart), lost(2)}, false},
		"an answer in between clears it":                   {[]step{lost(1), after(apart), answered(1), lost(1)}, false},
		"it is forgiven after its time":                    {[]step{lost(1), after(apart), lost(1), after(5 * time.Minute)}, false},
		"a loss long ago doesn't count":                    {[]step{lost(1), after(5 * time.Minute), lost(1)}, false},
		"the memory is bounded, and drops the oldest":      {[]step{lost(1), after(apart), lost(1), after(apart), manyLost}, false},
		"it is kept while there is memory for it, also":    {[]step{manyLost, after(apart), lost(1), after(apart), lost(1)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			k := newKillers(Defaults(), func() time.Time { return now })
			for _, s := range c.steps {
				s(k, func(d time.Duration) { now = now.Add(d) })
			}
			if got := k.refuse(1); got != c.want {
				t.Errorf("refused: %v, want %v", got, c.want)
			}
			if n := len(k.seen); n > maxKillers || int64(n) != k.size.Load() {
				t.Errorf("%d bodies are remembered, %d counted", n, k.size.Load())
			}
		})
	}
	if newKillers(Config{KillerStrikes: 0}, time.Now) != nil {
		t.Error("0 strikes refuse bodies")
	}
}

func manyLost(k *killers, _ func(time.Duration)) {
	for sum := range uint64(maxKillers) {
		k.lost(sum+10, false)
	}
}

func TestKillerIsRefusedBeforeAReplicaHasIt(t *testing.T) {
	for name, known := range map[string]bool{"of known length": true, "of unknown length": false} {
		t.Run(name, func(t *testing.T) {
			killer := strings.Repeat("killer ", 20_000)
			took := make(chan string, 100) // bodies that came whole
			replica := func(id string) Replica {
				return raw(t, id, func(c net.Conn, r *bufio.Reader) {
					for {
						body, err := readRequest(r)
						if err != nil {
							return
						}
						took <- id
						if body == killer {
							return
						}
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
				})
			}
			f := start(t, nil, replica("a"), replica("b"), replica("c"))
			now := time.Now()
			f.killers.now = func() time.Time { return now }
			send := func(body string) reply {
				req, _ := http.NewRequest(http.MethodPost, f.url+"/predict", strings.NewReader(body))
				if !known {
					req.ContentLength = -1
				}
				return f.do(req)
			}
			for i, want := range []int{502, 422, 422, 422} {
				now = now.Add(apart)
				if got := send(killer); got.status != want {
					t.Fatalf("time %d: %d %s, want %d", i+1, got.status, got.body, want)
				} else if want == 422 && got.fault(t).Code != apierror.PoisonRequest {
					t.Errorf("code %s", got.fault(t).Code)
				}
			}
			if n := len(took); n != 2 {
				t.Errorf("%d replicas got the body whole, want 2", n)
			}
			for range 3 {
				if got := send(killer + "not"); got.status != 200 {
					t.Errorf("another body: %+v", got)
				}
			}
		})
	}
}

// A replica is killed by somebody else while it answers a harmless image, and again later.
func TestHarmlessBodyIsNotRefused(t *testing.T) {
	die := make(chan bool, 1)
	f := start(t, nil, raw(t, "a", func(c net.Conn, r *bufio.Reader) {
		for {
			if _, err := readRequest(r); err != nil || <-die {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}))
	now := time.Now()
	f.killers.now = func() time.Time { return now }
	for i, dies := range []bool{true, false, true, false, true, false} {
		now = now.Add(apart)
		die <- dies
		if got, want := f.post("/predict", "image"), map[bool]int{true: 502, false: 200}[dies]; got.status != want {
			t.Fatalf("time %d: %d %s, want %d", i+1, got.status, got.body, want)
		}
	}
}

func TestAnswerThatSparesABody(t *testing.T) {
	for name, c := range map[string]struct {
		answer string // between two losses
		spares bool
	}{
		"an answer": {"200 OK", true},
		"a fault of the body, which was looked at": {"422 Unprocessable Entity", true},
		"refused by a full queue":                  {"429 Too Many Requests", false},
		"refused by one that is not ready":         {"503 Service Unavailable", false},
		"out of time, perhaps in the queue":        {"504 Gateway Timeout", false},
	} {
		t.Run(name, func(t *testing.T) {
			answers := make(chan string, 1)
			f := start(t, nil, raw(t, "a", func(conn net.Conn, r *bufio.Reader) {
				for {
					if _, err := readRequest(r); err != nil {
						return
					}
					answer := <-answers
					if answer == "" {
						return // It is lost.
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 "+answer+"\r\nContent-Length: 2\r\n\r\nok")
				}
			}))
			now := time.Now()
			f.killers.now = func() time.Time { return now }
			for _, answer := range []string{"", c.answer, ""} {
				now = now.Add(apart)
				answers <- answer
				if got := f.post("/predict", "image"); strings.Contains(got.body, string(apierror.PoisonRequest)) {
					t.Fatal("refused too early")
				}
			}
			now = now.Add(apart)
			answers <- "200 OK"
			if got, want := f.post("/predict", "image"), map[bool]int{true: 200, false: 422}[c.spares]; got.status != want {
				t.Errorf("%d %s, want %d", got.status, got.body, want)
			}
		})
	}
}

// A body that kills replicas, sent again and again: it takes two, and being tried again never the last one that stands.
func TestBodyThatKillsNeverTakesTheLastReplica(t *testing.T) {
	for _, replicas := range []int{2, 3, 5} {
		t.Run(itoa(replicas)+" replicas", func(t *testing.T) {
			var mu sync.Mutex
			alive, least, kills, made := 0, replicas, 0, 0
			var f *fixture
			var begin func() Replica
			begin = func() Replica {
				made++
				alive++
				id := itoa(made)
				return raw(t, id, func(c net.Conn, r *bufio.Reader) {
					for {
						body, err := readRequest(r)
						if err != nil {
							return
						}
						if body == "killer" {
							mu.Lock()
							defer mu.Unlock()
							alive--
							kills++
							least = min(least, alive)
							f.pool.Remove(id)
							time.AfterFunc(100*time.Millisecond, func() { // as its supervisor does
								mu.Lock()
								defer mu.Unlock()
								_ = f.pool.Add(begin())
							})
							return
						}
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
				})
			}
			var list []Replica
			for range replicas {
				list = append(list, begin())
			}
			f = start(t, nil, list...)
			var clients sync.WaitGroup
			clients.Go(func() {
				for i := range 5 {
					if got, want := f.post("/predict", "killer"), map[bool]int{true: 502, false: 422}[i == 0]; got.status != want {
						t.Errorf("time %d: %d %s", i, got.status, got.body)
					}
				}
			})
			for range 50 { // meanwhile; some are lost with a replica
				if got := f.post("/predict", "image"); got.status == 503 {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
			clients.Wait()
			if got := f.post("/predict", "killer"); got.status != 422 {
				t.Errorf("at last: %d %s", got.status, got.body)
			}
			until(t, "all are back", func() bool { mu.Lock(); defer mu.Unlock(); return alive == replicas })
			mu.Lock()
			defer mu.Unlock()
			if kills != 2 || least < 1 {
				t.Errorf("%d were killed; %d stood at least", kills, least)
			}
		})
	}
}

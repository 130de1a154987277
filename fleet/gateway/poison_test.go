package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fovea/internal/apierror"
)

func TestPoisonTable(t *testing.T) {
	type step = func(k *poisonTable, pass func(time.Duration))
	lost := func(sum uint64) step { return func(k *poisonTable, _ func(time.Duration)) { k.recordLoss(sum, false) } }
	again := func(sum uint64) step { return func(k *poisonTable, _ func(time.Duration)) { k.recordLoss(sum, true) } }
	answered := func(sum uint64) step { return func(k *poisonTable, _ func(time.Duration)) { k.clear(sum) } }
	after := func(d time.Duration) step { return func(_ *poisonTable, pass func(time.Duration)) { pass(d) } }
	for name, c := range map[string]struct {
		steps []step
		want  bool
	}{
		"a body without losses":                     {nil, false},
		"one loss is below the threshold":           {[]step{lost(1)}, false},
		"two losses reach it":                       {[]step{lost(1), after(minLossInterval), lost(1)}, true},
		"losses at the same time count as one":      {[]step{lost(1), lost(1), lost(1)}, false},
		"a loss on the retry counts":                {[]step{lost(1), again(1)}, true},
		"another body's losses don't count":         {[]step{lost(1), after(minLossInterval), lost(2)}, false},
		"a response in between clears it":           {[]step{lost(1), after(minLossInterval), answered(1), lost(1)}, false},
		"it expires":                                {[]step{lost(1), after(minLossInterval), lost(1), after(5 * time.Minute)}, false},
		"a loss long ago doesn't count":             {[]step{lost(1), after(5 * time.Minute), lost(1)}, false},
		"the table is bounded and drops the oldest": {[]step{lost(1), after(minLossInterval), lost(1), after(minLossInterval), manyLost}, false},
		"a full table still takes a new body":       {[]step{manyLost, after(minLossInterval), lost(1), after(minLossInterval), lost(1)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			k := newPoisonTable(Defaults(), func() time.Time { return now })
			for _, s := range c.steps {
				s(k, func(d time.Duration) { now = now.Add(d) })
			}
			if got := k.rejects(1); got != c.want {
				t.Errorf("rejected: %v, want %v", got, c.want)
			}
			if n := len(k.entries); n > maxPoisonEntries || int64(n) != k.size.Load() {
				t.Errorf("%d entries, counted as %d", n, k.size.Load())
			}
		})
	}
	if newPoisonTable(Config{PoisonThreshold: 0}, time.Now) != nil {
		t.Error("threshold 0 rejects bodies")
	}
}

func manyLost(k *poisonTable, _ func(time.Duration)) {
	for sum := range uint64(maxPoisonEntries) {
		k.recordLoss(sum+10, false)
	}
}

func TestPoisonRequestIsRejectedBeforeAReplicaHasIt(t *testing.T) {
	for name, known := range map[string]bool{"of known length": true, "of unknown length": false} {
		t.Run(name, func(t *testing.T) {
			poison := strings.Repeat("poison ", 20_000)
			took := make(chan string, 100) // complete bodies
			replica := func(id string) Replica {
				return raw(t, id, func(c net.Conn, r *bufio.Reader) {
					for {
						body, err := readRequest(r)
						if err != nil {
							return
						}
						took <- id
						if body == poison {
							return
						}
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
				})
			}
			f := start(t, nil, replica("a"), replica("b"), replica("c"))
			now := time.Now()
			f.poison.now = func() time.Time { return now }
			send := func(body string) reply {
				req, _ := http.NewRequest(http.MethodPost, f.url+"/predict", strings.NewReader(body))
				if !known {
					req.ContentLength = -1
				}
				return f.do(req)
			}
			for i, want := range []int{502, 422, 422, 422} {
				now = now.Add(minLossInterval)
				if got := send(poison); got.status != want {
					t.Fatalf("time %d: %d %s, want %d", i+1, got.status, got.body, want)
				} else if want == 422 && got.apiError(t).Code != apierror.PoisonRequest {
					t.Errorf("code %s", got.apiError(t).Code)
				}
			}
			if n := len(took); n != 2 {
				t.Errorf("%d replicas got the complete body, want 2", n)
			}
			for range 3 {
				if got := send(poison + "not"); got.status != 200 {
					t.Errorf("another body: %+v", got)
				}
			}
		})
	}
}

// A replica is lost for another reason while it processes a harmless image, and again later.
func TestHarmlessBodyIsNotRejected(t *testing.T) {
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
	f.poison.now = func() time.Time { return now }
	for i, dies := range []bool{true, false, true, false, true, false} {
		now = now.Add(minLossInterval)
		die <- dies
		if got, want := f.post("/predict", "image"), map[bool]int{true: 502, false: 200}[dies]; got.status != want {
			t.Fatalf("time %d: %d %s, want %d", i+1, got.status, got.body, want)
		}
	}
}

func TestResponsesThatClearABody(t *testing.T) {
	for name, c := range map[string]struct {
		answer string // between two losses
		spares bool
	}{
		"a response":                        {"200 OK", true},
		"an error after examining the body": {"422 Unprocessable Entity", true},
		"a full queue":                      {"429 Too Many Requests", false},
		"not ready":                         {"503 Service Unavailable", false},
		"timed out, maybe in the queue":     {"504 Gateway Timeout", false},
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
						return // lost
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 "+answer+"\r\nContent-Length: 2\r\n\r\nok")
				}
			}))
			now := time.Now()
			f.poison.now = func() time.Time { return now }
			for _, answer := range []string{"", c.answer, ""} {
				now = now.Add(minLossInterval)
				answers <- answer
				if got := f.post("/predict", "image"); strings.Contains(got.body, string(apierror.PoisonRequest)) {
					t.Fatal("refused too early")
				}
			}
			now = now.Add(minLossInterval)
			answers <- "200 OK"
			if got, want := f.post("/predict", "image"), map[bool]int{true: 200, false: 422}[c.spares]; got.status != want {
				t.Errorf("%d %s, want %d", got.status, got.body, want)
			}
		})
	}
}

// A poison request sent repeatedly takes two replicas, and its retries never the last one.
func TestPoisonRequestNeverTakesTheLastReplica(t *testing.T) {
	for _, replicas := range []int{2, 3, 5} {
		t.Run(itoa(replicas)+" replicas", func(t *testing.T) {
			var mu sync.Mutex
			alive, least, losses, made := 0, replicas, 0, 0
			var f *fixture
			var list []Replica
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
						if body == "poison" {
							mu.Lock()
							defer mu.Unlock()
							alive--
							losses++
							least = min(least, alive)
							list = slices.DeleteFunc(list, func(r Replica) bool { return r.ID == id })
							_ = f.balancer.Set(list)
							time.AfterFunc(100*time.Millisecond, func() { // as its supervisor does
								mu.Lock()
								defer mu.Unlock()
								list = append(list, begin())
								_ = f.balancer.Set(list)
							})
							return
						}
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
				})
			}
			for range replicas {
				list = append(list, begin())
			}
			f = start(t, nil, list...)
			var clients sync.WaitGroup
			clients.Go(func() {
				for i := range 5 {
					if got, want := f.post("/predict", "poison"), map[bool]int{true: 502, false: 422}[i == 0]; got.status != want {
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
			if got := f.post("/predict", "poison"); got.status != 422 {
				t.Errorf("finally: %d %s", got.status, got.body)
			}
			until(t, "all are back", func() bool { mu.Lock(); defer mu.Unlock(); return alive == replicas })
			mu.Lock()
			defer mu.Unlock()
			if losses != 2 || least < 1 {
				t.Errorf("%d were lost; at least %d remained", losses, least)
			}
		})
	}
}

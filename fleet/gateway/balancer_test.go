package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func at(ids ...string) []Replica {
	list := make([]Replica, len(ids))
	for i, id := range ids {
		list[i] = Replica{ID: id, URL: "http://127.0.0.1:8000"}
	}
	return list
}

func newTestBalancer(t *testing.T, ids ...string) (*Balancer, *time.Time, *[]string) {
	t.Helper()
	now, gone := time.Unix(1000, 0), []string{}
	p := newBalancer(func() time.Time { return now }, func(id string) { gone = append(gone, id) })
	if err := p.Set(at(ids...)); err != nil {
		t.Fatal(err)
	}
	return p, &now, &gone
}

func setReplicas(t *testing.T, p *Balancer, replicas ...Replica) {
	t.Helper()
	if err := p.Set(replicas); err != nil {
		t.Error(err)
	}
}

func picks(p *Balancer, n int) string {
	var ids []string
	for range n {
		m := p.acquire()
		if m == nil {
			return strings.Join(append(ids, "none"), " ")
		}
		ids = append(ids, m.id)
		p.release(m)
	}
	return strings.Join(ids, " ")
}

func TestBalancer(t *testing.T) {
	type step = func(t *testing.T, p *Balancer, now *time.Time)
	set := func(ids ...string) step {
		return func(t *testing.T, p *Balancer, _ *time.Time) { setReplicas(t, p, at(ids...)...) }
	}
	drain := func(id string) step {
		return func(t *testing.T, p *Balancer, _ *time.Time) {
			if err := p.Drain(context.Background(), id); err != nil {
				t.Error(err)
			}
		}
	}
	moveA := func(t *testing.T, p *Balancer, _ *time.Time) {
		setReplicas(t, p, append([]Replica{{ID: "a", URL: "http://127.0.0.1:8001"}}, at("b", "c")...)...)
	}
	refused := func(_ *testing.T, p *Balancer, _ *time.Time) {
		m := p.acquire()
		p.coolDown(m)
		p.release(m)
	}
	for name, c := range map[string]struct {
		steps []step
		want  string // the next four
	}{
		"equals take turns":                                 {nil, "a b c a"},
		"one that is no longer listed gets none":            {[]step{set("a", "c")}, "a c a c"},
		"no replica, no request":                            {[]step{set()}, "none"},
		"a draining one gets none":                          {[]step{drain("b")}, "a c a c"},
		"an older list does not undo a drain":               {[]step{drain("b"), set("a", "b", "c")}, "a c a c"},
		"removing one ends its drain":                       {[]step{drain("b"), set("a", "c"), set("a", "b", "c")}, "a b c a"},
		"one with a new address replaces the old":           {[]step{drain("a"), moveA}, "a b c a"},
		"one that refused is skipped":                       {[]step{refused}, "b c b c"},
		"one that refused is used again after its cooldown": {[]step{refused, func(_ *testing.T, _ *Balancer, now *time.Time) { *now = now.Add(minCooldown) }}, "b c a b"},
		"if all refused, all are tried":                     {[]step{refused, refused, refused}, "a b c a"},
		"draining an unknown one changes nothing":           {[]step{drain("x")}, "a b c a"},
	} {
		t.Run(name, func(t *testing.T) {
			p, now, _ := newTestBalancer(t, "a", "b", "c")
			for _, s := range c.steps {
				s(t, p, now)
			}
			if got := picks(p, 4); got != c.want {
				t.Errorf("requests went to %s, want %s", got, c.want)
			}
		})
	}
}

func TestBadReplicasChangeNothing(t *testing.T) {
	p, _, _ := newTestBalancer(t, "a")
	bad := []Replica{
		{ID: "", URL: "http://h:1"}, {ID: "https", URL: "https://h:1"}, {ID: "no port", URL: "http://h"}, {ID: "path", URL: "http://h:1/v1"},
		{ID: "user", URL: "http://u@h:1"}, {ID: "query", URL: "http://h:1?x"}, {ID: "garbage", URL: "%"}, {ID: "good", URL: "http://h:1"}, {ID: "good", URL: "http://h:2"},
		{ID: "gRPC without a port", URL: "http://h:1", GRPC: "h"},
	}
	err := p.Set(bad)
	if err == nil {
		t.Fatal("no error")
	}
	for _, r := range bad {
		if !strings.Contains(err.Error(), fmt.Sprintf("%q", r.ID)) && r.ID != "" {
			t.Errorf("%q is not named in:\n%v", r.ID, err)
		}
	}
	if got := picks(p, 2); got != "a a" {
		t.Errorf("requests go to %s", got)
	}
}

func TestRemovedBackendKeepsItsRequests(t *testing.T) {
	p, _, gone := newTestBalancer(t, "a")
	m := p.acquire()
	if err := p.Set(nil); err != nil {
		t.Fatal(err)
	}
	if n := p.InFlight("a"); n != 1 {
		t.Errorf("%d in flight, want 1", n)
	}
	if s := p.Status(); len(s) != 1 || s[0].State != Removed {
		t.Errorf("status %+v, want one that is removed", s)
	}
	if len(*gone) != 0 {
		t.Error("gone with a request in flight")
	}
	p.release(m)
	if len(p.Status()) != 0 || !slices.Equal(*gone, []string{"a"}) || p.known("a") {
		t.Errorf("remaining: %+v, gone: %v", p.Status(), *gone)
	}
}

func TestDrainWaits(t *testing.T) {
	p, _, _ := newTestBalancer(t, "a")
	first, second := p.acquire(), p.acquire()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Drain(ctx, "a"); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 requests") {
		t.Errorf("drain with a canceled context: %v", err)
	}
	if p.acquire() != nil {
		t.Error("a drain that timed out let requests in")
	}
	// Its address changes meanwhile: requests in flight at the old one count, too.
	setReplicas(t, p, Replica{ID: "a", URL: "http://127.0.0.1:8001"})
	third := p.acquire()
	done := make(chan error, 2)
	for range cap(done) {
		go func() { done <- p.Drain(context.Background(), "a") }()
	}
	for _, m := range []*backend{first, second, third} {
		select {
		case err := <-done:
			t.Fatalf("drained (%v) with requests in flight", err)
		default:
		}
		p.release(m)
	}
	for range cap(done) {
		if err := wait(t, "the drain", done); err != nil {
			t.Error(err)
		}
	}
}

// A thousand random steps: each request goes to an eligible backend with the fewest in flight.
func TestLeastInFlight(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		p, now, _ := newTestBalancer(t)
		names := []string{"a", "b", "c", "d", "e"}
		var held []*backend
		for range 1000 {
			switch n := r.IntN(20); {
			case n <= 2:
				r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
				setReplicas(t, p, at(names[:r.IntN(len(names)+1)]...)...)
			case n == 3:
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				_ = p.Drain(ctx, names[r.IntN(len(names))])
			case n == 4 && len(held) > 0:
				p.coolDown(held[r.IntN(len(held))])
			case n == 5:
				*now = now.Add(minCooldown / 3)
			case n <= 11 && len(held) > 0:
				i := r.IntN(len(held))
				p.release(held[i])
				held = slices.Delete(held, i, i+1)
			default:
				before := p.Status()
				m := p.acquire()
				if m != nil {
					held = append(held, m)
				}
				checkChoice(t, before, m)
			}
		}
		total := 0
		for _, s := range p.Status() {
			total += s.InFlight
		}
		if total != len(held) {
			t.Errorf("%d in flight, want %d", total, len(held))
		}
	}
}

func checkChoice(t *testing.T, before []Status, got *backend) {
	t.Helper()
	least := map[State]int{Ready: -1, Cooldown: -1}
	for _, s := range before {
		if n, ok := least[s.State]; ok && (n < 0 || s.InFlight < n) {
			least[s.State] = s.InFlight
		}
	}
	want := Ready
	if least[Ready] < 0 {
		want = Cooldown
	}
	if least[want] < 0 {
		if got != nil {
			t.Fatalf("%s was chosen among %+v", got.id, before)
		}
		return
	}
	if got == nil {
		t.Fatalf("none was chosen among %+v", before)
	}
	for _, s := range before {
		if s.ID == got.id && s.State != Removed && (s.State != want || s.InFlight != least[want]) {
			t.Fatalf("%s was chosen among %+v", got.id, before)
		}
	}
}

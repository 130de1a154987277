package admission

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a fake clock.
type clock struct{ t time.Time }

func (c *clock) now() time.Time        { return c.t }
func (c *clock) after(d time.Duration) { c.t = c.t.Add(d) }
func newClock() *clock                 { return &clock{time.Unix(1000, 0)} }
func (c *clock) controller(limits Limits) *Controller {
	ctl := New(limits)
	ctl.now, ctl.sleep = c.now, func(time.Duration) {} // time stands still
	return ctl
}

const (
	alice = "192.0.2.1/32"
	bob   = "192.0.2.2/32"
)

// enter admits a request, and returns a flag that is set when it is displaced.
func enter(t *testing.T, ctl *Controller, from string) (*request, *bool) {
	t.Helper()
	stopped := new(bool)
	q, err := ctl.admit(from, func() { *stopped = true }, nil)
	if err != nil {
		t.Fatal(err)
	}
	return q, stopped
}

func (q *request) gets(n int64) error {
	q.controller.mu.Lock()
	defer q.controller.mu.Unlock()
	return q.received(n, q.controller.now())
}

func (q *request) arriveWhole() {
	q.controller.mu.Lock()
	defer q.controller.mu.Unlock()
	q.pause()
}

// TestIdleRequestsDoNotBlockOthers: however many requests announce a body and send little or nothing of it, one whose body
// arrives is admitted and not displaced.
func TestIdleRequestsDoNotBlockOthers(t *testing.T) {
	for name, sends := range map[string]struct {
		first int64         // bytes at once
		every time.Duration // a further byte; 0: never
	}{
		"nothing":                       {0, 0},
		"10 bytes":                      {10, 0},
		"a byte every 10 ms":            {1, 10 * time.Millisecond},
		"1 MiB at once, and then stops": {1 << 20, 0},
	} {
		for _, share := range []float64{0.25, 1} {
			t.Run(fmt.Sprintf("%s, share %v", name, share), func(t *testing.T) {
				c := newClock()
				ctl := c.controller(Limits{Requests: 64, Bytes: 1 << 30, ClientShare: share, MinRate: 1024})
				var idle []*request
				for range 200 {
					q, err := ctl.admit(alice, func() {}, nil)
					if err != nil {
						c.after(2 * displaceAfter) // those before it lag by then
						q, _ = enter(t, ctl, alice)
					}
					idle = append(idle, q)
					_ = q.gets(sends.first)
				}
				for range 100 {
					c.after(10 * time.Millisecond)
					for _, q := range idle {
						if sends.every > 0 && !q.released {
							_ = q.gets(1)
						}
					}
				}
				for i := range 100 {
					good, _ := enter(t, ctl, alice)
					c.after(time.Millisecond)
					if err := good.gets(100_000); err != nil {
						t.Fatalf("good request %d: %v", i, err)
					}
					good.arriveWhole()
					good.release()
				}
				for _, q := range idle {
					q.release()
				}
				if ctl.requests != 0 || ctl.bytes != 0 || len(ctl.arriving) != 0 || len(ctl.clients) != 0 {
					t.Errorf("left behind: %d requests, %d bytes, %d arriving, %d clients", ctl.requests, ctl.bytes, len(ctl.arriving), len(ctl.clients))
				}
			})
		}
	}
}

func TestSlowestBodyIsDisplaced(t *testing.T) {
	c := newClock()
	ctl := c.controller(Limits{Requests: 3, ClientShare: 1, MinRate: 1000})
	fast, fastStopped := enter(t, ctl, alice)
	slow, slowStopped := enter(t, ctl, alice)
	whole, wholeStopped := enter(t, ctl, alice)
	whole.arriveWhole()
	c.after(time.Second)
	_, _ = fast.gets(2000), slow.gets(900)
	c.after(150 * time.Millisecond)
	if err := slow.gets(50); err != nil { // it stays 300 ms behind, though it was the last to send
		t.Fatal(err)
	}
	enter(t, ctl, alice)
	if !*slowStopped || *fastStopped || *wholeStopped {
		t.Errorf("ended: the slow %v, the fast %v, the whole %v", *slowStopped, *fastStopped, *wholeStopped)
	}
	if err := slow.gets(1); !errors.Is(err, ErrDisplaced) {
		t.Errorf("the slow one got %v", err)
	}
	slow.release()
	if got := ctl.Requests(); got != 3 {
		t.Errorf("%d requests are in flight", got)
	}
}

func TestUnreadBodyIsNotDisplaced(t *testing.T) {
	for name, limits := range map[string]Limits{
		"at the limit of requests":               {Requests: 2, ClientShare: 1, MinRate: 1024},
		"beyond a client's share of idle bodies": {Requests: 4, ClientShare: 0.5, MinRate: 1024},
	} {
		c := newClock()
		ctl := c.controller(limits)
		var stopped [2]bool
		unread := true
		for i := range stopped {
			if _, err := ctl.admit(alice, func() { stopped[i] = true }, func() bool { return i == 0 && unread }); err != nil {
				t.Fatal(err)
			}
			c.after(2 * idleAfter)
		}
		enter(t, ctl, alice)
		if stopped[0] || limits.Requests == 2 && !stopped[1] {
			t.Errorf("%s: ended %v", name, stopped)
		}
		unread = false
		for range 3 {
			c.after(2 * idleAfter)
			enter(t, ctl, alice)
		}
		if !stopped[0] {
			t.Errorf("%s: not displaced once nothing more arrives", name)
		}
	}
}

func TestBodiesThatAreNotDisplaced(t *testing.T) {
	for name, keep := range map[string]func(*request){
		"a body that has arrived":       (*request).arriveWhole,
		"a body that waits to be read":  (*request).arriveWhole, // the same to the controller
		"a body that has just sent":     func(k *request) { _ = k.gets(10_000) },
		"a body that sends at the rate": func(k *request) { _ = k.gets(250) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			ctl := c.controller(Limits{Requests: 1, ClientShare: 1, MinRate: 1024})
			k, stopped := enter(t, ctl, alice)
			c.after(time.Millisecond)
			keep(k)
			c.after(displaceAfter / 2)
			var full *FullError
			if _, err := ctl.admit(alice, func() {}, nil); !errors.As(err, &full) || full.Limit != 1 || full.What != "requests" {
				t.Errorf("the newcomer got %v", err)
			}
			if *stopped {
				t.Error("it was ended")
			}
		})
	}
}

func TestClientShareOfRequests(t *testing.T) {
	for _, test := range []struct {
		share      float64
		alone, bob int // whole requests that alice can have in flight alone, and bob after that
	}{{0.25, 12, 4}, {0.5, 8, 8}, {0.75, 12, 4}, {1, 16, 0}} {
		c := newClock()
		ctl := c.controller(Limits{Requests: 16, ClientShare: test.share, MinRate: 1024})
		count := func(from string) (n int) {
			for {
				q, err := ctl.admit(from, func() {}, nil)
				if err != nil {
					return n
				}
				q.arriveWhole()
				n++
			}
		}
		if a, b := count(alice), count(bob); a != test.alone || b != test.bob {
			t.Errorf("share %v: alice has %d and bob %d, want %d and %d", test.share, a, b, test.alone, test.bob)
		}
	}
}

func TestClientShareOfIdleBodies(t *testing.T) {
	c := newClock()
	ctl := c.controller(Limits{Requests: 1000, ClientShare: 0.25, MinRate: 1024})
	for range 600 {
		enter(t, ctl, alice)
	}
	if got := ctl.Requests(); got != 600 {
		t.Errorf("%d requests that have just come are in flight, want 600", got)
	}
	c.after(2 * idleAfter)
	enter(t, ctl, bob)
	enter(t, ctl, alice)
	ctl.requests-- // bob's
	if got := ctl.Requests(); got != 250 {
		t.Errorf("%d idle requests are in flight, want 250", got)
	}
}

// TestSecondRequestOfAClientAboveItsShare: only a client's first request is always within its share.
func TestSecondRequestOfAClientAboveItsShare(t *testing.T) {
	ctl := newClock().controller(Limits{Requests: 4, ClientShare: 0.25, MinRate: 1024})
	for _, from := range []string{bob, bob, alice} {
		q, _ := enter(t, ctl, from)
		q.arriveWhole()
	}
	var full *FullError
	if _, err := ctl.admit(alice, func() {}, nil); !errors.As(err, &full) || full.Limit != 3 {
		t.Errorf("got %v", err)
	}
}

func TestIdleBodyIsDisplacedAfterItsTime(t *testing.T) {
	c := newClock()
	ctl := c.controller(Limits{Requests: 8, ClientShare: 0.25, MinRate: 1024})
	_, stopped := enter(t, ctl, alice)
	enter(t, ctl, alice)
	c.after(idleAfter - time.Millisecond)
	if enter(t, ctl, alice); *stopped {
		t.Error("displaced before it was idle")
	}
	c.after(time.Millisecond)
	if enter(t, ctl, alice); !*stopped {
		t.Error("an idle body above the client's share was not displaced")
	}
}

func TestClientMayExceedItsShareWithArrivingBodies(t *testing.T) {
	c := newClock()
	ctl := c.controller(Limits{Requests: 1024, ClientShare: 0.25, MinRate: 1024})
	for range 512 {
		q, _ := enter(t, ctl, alice)
		if err := q.gets(10_000); err != nil {
			t.Fatal(err)
		}
	}
	if got := ctl.Requests(); got != 512 {
		t.Errorf("%d requests are in flight, want 512", got)
	}
}

func TestClosedControllerAdmitsNothing(t *testing.T) {
	ctl := New(Limits{Requests: 1, ClientShare: 1})
	ctl.Close()
	if _, err := ctl.admit(alice, func() {}, nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestConcurrentRequests(t *testing.T) {
	ctl := New(Limits{Requests: 8, Bytes: 1 << 16, ClientShare: 0.5, MinRate: 1 << 20})
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for range 50 {
				b, err := ctl.Admit(fmt.Sprintf("192.0.2.%d:1", i%3), strings.NewReader(strings.Repeat("x", 4096)), 4096, time.Minute, &line{}, nil)
				if err != nil {
					continue
				}
				_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{b}, make([]byte, 1024))
				b.Release()
			}
		})
	}
	all.Wait()
	if ctl.Requests() != 0 || ctl.Bytes() != 0 {
		t.Errorf("%d requests and %d bytes are left", ctl.Requests(), ctl.Bytes())
	}
}

// TestBurstOfIdleRequestsDoesNotBlockOthers: all requests in flight sent something a moment ago, so that none can be displaced
// yet.
func TestBurstOfIdleRequestsDoesNotBlockOthers(t *testing.T) {
	for name, test := range map[string]struct {
		each   func(*request) // what the requests in flight do while another waits
		enters bool
		slept  time.Duration
	}{
		"bodies that stopped":            {func(*request) {}, true, displaceAfter},
		"bodies that keep arriving":      {func(q *request) { _ = q.gets(1000) }, false, maxWait},
		"bodies that are there as whole": {nil, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			ctl := c.controller(Limits{Requests: 8, ClientShare: 1, MinRate: 1000})
			var held []*request
			var slept time.Duration
			ctl.sleep = func(d time.Duration) {
				c.after(d)
				slept += d
				for _, q := range held {
					test.each(q)
				}
			}
			for range 8 {
				q, _ := enter(t, ctl, alice)
				if _ = q.gets(1000); test.each == nil {
					q.arriveWhole()
				}
				held = append(held, q)
			}
			_, err := ctl.admit(bob, func() {}, nil)
			var full *FullError
			if test.enters != (err == nil) || err != nil && !errors.As(err, &full) || slept != test.slept {
				t.Errorf("%v after %v", err, slept)
			}
			if ctl.Close(); !test.enters && len(ctl.clients) != 1 {
				t.Errorf("%d clients are known", len(ctl.clients))
			}
		})
	}
}

func TestWaitEndsWhenTheControllerIsClosed(t *testing.T) {
	c := newClock()
	ctl := c.controller(Limits{Requests: 1, ClientShare: 1, MinRate: 1000})
	held, _ := enter(t, ctl, alice)
	_ = held.gets(1000)
	ctl.sleep = func(time.Duration) { ctl.Close() }
	if _, err := ctl.admit(bob, func() {}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

package admission

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time        { return c.t }
func (c *clock) after(d time.Duration) { c.t = c.t.Add(d) }
func newClock() *clock                 { return &clock{time.Unix(1000, 0)} }
func (c *clock) room(limits Limits) *Room {
	r := New(limits)
	r.now, r.sleep = c.now, func(time.Duration) {} // who waits sees no change
	return r
}

var (
	alice = Address("192.0.2.1:1000")
	bob   = Address("192.0.2.2:1000")
)

func TestAddresses(t *testing.T) {
	for given, want := range map[string]string{
		"192.0.2.1:80":          "192.0.2.1/32",
		"[2001:db8:1:2:3::4]:1": "2001:db8:1:2::/64",
		"[::ffff:192.0.2.1]:80": "192.0.2.1/32",
		"[fe80::1%eth0]:80":     "fe80::/64",
		"@":                     "invalid Prefix",
		"":                      "invalid Prefix",
	} {
		if got := Address(given).String(); got != want {
			t.Errorf("%q counts as %s, want %s", given, got, want)
		}
	}
}

// enter lets a request in, with a flag that says whether it was ended.
func enter(t *testing.T, r *Room, from netip.Prefix) (*Ticket, *bool) {
	t.Helper()
	stopped := new(bool)
	ticket, err := r.Enter(from, func() { *stopped = true }, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ticket, stopped
}

func (t *Ticket) gets(n int64) error {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	return t.arrive(n, t.room.now())
}

func (t *Ticket) whole() {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	t.pause()
}

// TestIdleRequestsNeverKeepOthersOut is the kind: however many requests announce a body and send little or nothing of it,
// one whose body arrives is let in and keeps its slot.
func TestIdleRequestsNeverKeepOthersOut(t *testing.T) {
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
				r := c.room(Limits{Requests: 64, Bytes: 1 << 30, Share: share, Rate: 1024})
				var idle []*Ticket
				for range 200 {
					ticket, err := r.Enter(alice, func() {}, nil)
					if err != nil {
						c.after(2 * late) // those before it lag by then
						ticket, _ = enter(t, r, alice)
					}
					idle = append(idle, ticket)
					_ = ticket.gets(sends.first)
				}
				for range 100 {
					c.after(10 * time.Millisecond)
					for _, ticket := range idle {
						if sends.every > 0 && !ticket.left {
							_ = ticket.gets(1)
						}
					}
				}
				for i := range 100 {
					good, _ := enter(t, r, alice)
					c.after(time.Millisecond)
					if err := good.gets(100_000); err != nil {
						t.Fatalf("good request %d: %v", i, err)
					}
					good.whole()
					good.Leave()
				}
				for _, ticket := range idle {
					ticket.Leave()
				}
				if r.requests != 0 || r.bytes != 0 || len(r.arriving) != 0 || len(r.clients) != 0 {
					t.Errorf("left behind: %d requests, %d bytes, %d arriving, %d clients", r.requests, r.bytes, len(r.arriving), len(r.clients))
				}
			})
		}
	}
}

func TestTheSlowestGivesWay(t *testing.T) {
	c := newClock()
	r := c.room(Limits{Requests: 3, Share: 1, Rate: 1000})
	fast, fastStopped := enter(t, r, alice)
	slow, slowStopped := enter(t, r, alice)
	whole, wholeStopped := enter(t, r, alice)
	whole.whole()
	c.after(time.Second)
	_, _ = fast.gets(2000), slow.gets(900)
	c.after(150 * time.Millisecond)
	if err := slow.gets(50); err != nil { // it stays 300 ms behind, though it was the last to send
		t.Fatal(err)
	}
	enter(t, r, alice)
	if !*slowStopped || *fastStopped || *wholeStopped {
		t.Errorf("ended: the slow %v, the fast %v, the whole %v", *slowStopped, *fastStopped, *wholeStopped)
	}
	if err := slow.gets(1); !errors.Is(err, ErrDisplaced) {
		t.Errorf("the slow one is told %v", err)
	}
	slow.Leave()
	if got := r.Requests(); got != 3 {
		t.Errorf("%d requests are in flight", got)
	}
}

func TestABodyThatIsThereAndNotReadYetKeepsItsSlot(t *testing.T) {
	for name, limits := range map[string]Limits{
		"where slots are short":                  {Requests: 2, Share: 1, Rate: 1024},
		"beyond a client's share of idle bodies": {Requests: 4, Share: 0.5, Rate: 1024},
	} {
		c := newClock()
		r := c.room(limits)
		var stopped [2]bool
		unread := true
		for i := range stopped {
			if _, err := r.Enter(alice, func() { stopped[i] = true }, func() bool { return i == 0 && unread }); err != nil {
				t.Fatal(err)
			}
			c.after(2 * patience)
		}
		enter(t, r, alice)
		if stopped[0] || limits.Requests == 2 && !stopped[1] {
			t.Errorf("%s: ended %v", name, stopped)
		}
		unread = false
		for range 3 {
			c.after(2 * patience)
			enter(t, r, alice)
		}
		if !stopped[0] {
			t.Errorf("%s: it keeps its slot once nothing more comes", name)
		}
	}
}

func TestWhoKeepsItsSlot(t *testing.T) {
	for name, keep := range map[string]func(*Ticket){
		"a body that has arrived":       (*Ticket).whole,
		"a body that waits to be read":  (*Ticket).whole, // the same to the room
		"a body that has just sent":     func(k *Ticket) { _ = k.gets(10_000) },
		"a body that sends at the rate": func(k *Ticket) { _ = k.gets(250) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			r := c.room(Limits{Requests: 1, Share: 1, Rate: 1024})
			k, stopped := enter(t, r, alice)
			c.after(time.Millisecond)
			keep(k)
			c.after(late / 2)
			var full *FullError
			if _, err := r.Enter(alice, func() {}, nil); !errors.As(err, &full) || full.Limit != 1 || full.What != "requests" {
				t.Errorf("the newcomer is told %v", err)
			}
			if *stopped {
				t.Error("it was ended")
			}
		})
	}
}

func TestOneAddressLeavesRoomToTheOthers(t *testing.T) {
	for _, test := range []struct {
		share      float64
		alone, bob int // whole requests that alice can have in flight alone; that bob can then
	}{{0.25, 12, 4}, {0.5, 8, 8}, {0.75, 12, 4}, {1, 16, 0}} {
		c := newClock()
		r := c.room(Limits{Requests: 16, Share: test.share, Rate: 1024})
		count := func(from netip.Prefix) (n int) {
			for {
				ticket, err := r.Enter(from, func() {}, nil)
				if err != nil {
					return n
				}
				ticket.whole()
				n++
			}
		}
		if a, b := count(alice), count(bob); a != test.alone || b != test.bob {
			t.Errorf("share %v: alice has %d and bob %d, want %d and %d", test.share, a, b, test.alone, test.bob)
		}
	}
}

func TestOneAddressCannotHoldMoreLaggingBodiesThanItsShare(t *testing.T) {
	c := newClock()
	r := c.room(Limits{Requests: 1000, Share: 0.25, Rate: 1024})
	for range 600 {
		enter(t, r, alice)
	}
	if got := r.Requests(); got != 600 {
		t.Errorf("%d requests that have just come are in flight, want 600", got)
	}
	c.after(2 * patience)
	enter(t, r, bob)
	enter(t, r, alice)
	r.requests-- // bob's
	if got := r.Requests(); got != 250 {
		t.Errorf("%d idle requests are in flight, want 250", got)
	}
}

func TestManyConnectionsOfOneAddressWhoseBodiesArriveAreLetIn(t *testing.T) {
	c := newClock()
	r := c.room(Limits{Requests: 1024, Share: 0.25, Rate: 1024})
	for range 512 {
		ticket, _ := enter(t, r, alice)
		if err := ticket.gets(10_000); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.Requests(); got != 512 {
		t.Errorf("%d requests are in flight, want 512", got)
	}
}

func TestBytes(t *testing.T) {
	limits := Limits{Requests: 100, Bytes: 1000, Share: 1, Rate: 100}
	t.Run("bodies that lag give their bytes up", func(t *testing.T) {
		c := newClock()
		r := c.room(limits)
		first, firstStopped := enter(t, r, alice)
		second, secondStopped := enter(t, r, alice)
		_ = first.gets(500)
		c.after(time.Second)
		_ = second.gets(500)
		c.after(time.Second)
		third, _ := enter(t, r, bob)
		if err := third.gets(400); err != nil || !*firstStopped || *secondStopped {
			t.Errorf("%v; ended: the first %v, the second %v", err, *firstStopped, *secondStopped)
		}
		if got := r.Bytes(); got != 900 {
			t.Errorf("%d bytes are in flight", got)
		}
	})
	t.Run("nobody is ended where it would not be enough", func(t *testing.T) {
		c := newClock()
		r := c.room(limits)
		whole, _ := enter(t, r, alice)
		_ = whole.gets(900)
		whole.whole()
		_, lagStopped := enter(t, r, alice)
		c.after(time.Second)
		late, _ := enter(t, r, bob)
		var full *FullError
		if err := late.gets(200); !errors.As(err, &full) || full.What != "bytes of bodies" || *lagStopped {
			t.Errorf("%v; the one that lags was ended: %v", err, *lagStopped)
		}
	})
	t.Run("one body may be as large as all", func(t *testing.T) {
		l := limits
		l.Share = 0.25
		ticket, _ := enter(t, newClock().room(l), alice)
		if err := ticket.gets(1000); err != nil {
			t.Error(err)
		}
	})
	t.Run("a second one leaves room to others", func(t *testing.T) {
		l := limits
		l.Share = 0.25
		r := newClock().room(l)
		first, _ := enter(t, r, alice)
		second, _ := enter(t, r, alice)
		first.whole()
		var full *FullError
		if err := errors.Join(first.gets(500), second.gets(251)); !errors.As(err, &full) || full.Limit != 750 {
			t.Errorf("alice is told %v", err)
		}
		third, _ := enter(t, r, bob)
		if err := third.gets(250); err != nil {
			t.Errorf("bob is told %v", err)
		}
	})
}

// TestTheBooksAreKept does at random what requests do, and looks whether what is counted is what is held.
func TestTheBooksAreKept(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		c := newClock()
		r := c.room(Limits{Requests: 1 + rnd.Int64N(20), Bytes: 1 + rnd.Int64N(5000), Share: 0.05 + 0.95*rnd.Float64(), Rate: rnd.Int64N(2000)})
		var open []*Ticket
		for range 500 {
			c.after(time.Duration(rnd.Int64N(int64(50 * time.Millisecond))))
			if len(open) == 0 || rnd.IntN(3) == 0 {
				from := Address(fmt.Sprintf("192.0.2.%d:1", rnd.IntN(4)))
				if ticket, err := r.Enter(from, func() {}, nil); err == nil {
					open = append(open, ticket)
				}
				continue
			}
			at := rnd.IntN(len(open))
			switch ticket := open[at]; rnd.IntN(4) {
			case 0:
				ticket.Leave()
				open = slices.Delete(open, at, at+1)
			case 1:
				ticket.whole()
			default:
				_ = ticket.gets(rnd.Int64N(1000))
			}
			var requests, bytes int64
			for _, ticket := range open {
				if !ticket.left {
					requests++
					bytes += ticket.bytes
				}
			}
			if r.requests != requests || r.bytes != bytes || requests > r.limits.Requests || bytes > r.limits.Bytes {
				t.Fatalf("seed %d: counted %d requests and %d bytes, held %d and %d, limits %+v", seed, r.requests, r.bytes, requests, bytes, r.limits)
			}
			for i, ticket := range r.arriving {
				if ticket.at != i || ticket.left {
					t.Fatalf("seed %d: the order of who gives way is broken", seed)
				}
			}
		}
	}
}

func TestAfterClosingNobodyIsLetIn(t *testing.T) {
	r := New(Limits{Requests: 1, Share: 1})
	r.Close()
	if _, err := r.Enter(alice, func() {}, nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestManyAtOnce(t *testing.T) {
	r := New(Limits{Requests: 8, Bytes: 1 << 16, Share: 0.5, Rate: 1 << 20})
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for range 50 {
				b, err := r.Open(fmt.Sprintf("192.0.2.%d:1", i%3), strings.NewReader(strings.Repeat("x", 4096)), 4096, time.Minute, &line{}, nil)
				if err != nil {
					continue
				}
				_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{b}, make([]byte, 1024))
				b.Leave()
			}
		})
	}
	all.Wait()
	if r.Requests() != 0 || r.Bytes() != 0 {
		t.Errorf("%d requests and %d bytes are left", r.Requests(), r.Bytes())
	}
}

// TestABurstOfIdleRequestsKeepsNobodyOut: all that hold the slots have sent something a moment ago, so that none can give way
// yet.
func TestABurstOfIdleRequestsKeepsNobodyOut(t *testing.T) {
	for name, test := range map[string]struct {
		each   func(*Ticket) // what the holders of slots do while somebody waits
		enters bool
		slept  time.Duration
	}{
		"bodies that stopped":            {func(*Ticket) {}, true, late},
		"bodies that go on arriving":     {func(ticket *Ticket) { _ = ticket.gets(1000) }, false, mostWait},
		"bodies that are there as whole": {nil, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			r := c.room(Limits{Requests: 8, Share: 1, Rate: 1000})
			var held []*Ticket
			var slept time.Duration
			r.sleep = func(d time.Duration) {
				c.after(d)
				slept += d
				for _, ticket := range held {
					test.each(ticket)
				}
			}
			for range 8 {
				ticket, _ := enter(t, r, alice)
				if _ = ticket.gets(1000); test.each == nil {
					ticket.whole()
				}
				held = append(held, ticket)
			}
			_, err := r.Enter(bob, func() {}, nil)
			var full *FullError
			if test.enters != (err == nil) || err != nil && !errors.As(err, &full) || slept != test.slept {
				t.Errorf("%v after %v", err, slept)
			}
			if r.Close(); !test.enters && len(r.clients) != 1 {
				t.Errorf("%d clients are known", len(r.clients))
			}
		})
	}
}

func TestWhoWaitsIsRefusedWhenTheRoomIsClosed(t *testing.T) {
	c := newClock()
	r := c.room(Limits{Requests: 1, Share: 1, Rate: 1000})
	held, _ := enter(t, r, alice)
	_ = held.gets(1000)
	r.sleep = func(time.Duration) { r.Close() }
	if _, err := r.Enter(bob, func() {}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

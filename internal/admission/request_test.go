package admission

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	limits := Limits{Requests: 100, Bytes: 1000, ClientShare: 1, MinRate: 100}
	t.Run("lagging bodies are displaced", func(t *testing.T) {
		c := newClock()
		ctl := c.controller(limits)
		first, firstStopped := enter(t, ctl, alice)
		second, secondStopped := enter(t, ctl, alice)
		_ = first.gets(500)
		c.after(time.Second)
		_ = second.gets(500)
		c.after(time.Second)
		third, _ := enter(t, ctl, bob)
		if err := third.gets(400); err != nil || !*firstStopped || *secondStopped {
			t.Errorf("%v; ended: the first %v, the second %v", err, *firstStopped, *secondStopped)
		}
		if got := ctl.Bytes(); got != 900 {
			t.Errorf("%d bytes are in flight", got)
		}
	})
	t.Run("nothing is displaced if that would not free enough", func(t *testing.T) {
		c := newClock()
		ctl := c.controller(limits)
		whole, _ := enter(t, ctl, alice)
		_ = whole.gets(900)
		whole.arriveWhole()
		_, lagStopped := enter(t, ctl, alice)
		c.after(time.Second)
		newcomer, _ := enter(t, ctl, bob)
		var full *FullError
		if err := newcomer.gets(200); !errors.As(err, &full) || full.What != "body bytes" || *lagStopped {
			t.Errorf("%v; the one that lags was ended: %v", err, *lagStopped)
		}
	})
	t.Run("a body that hardly lags is not displaced", func(t *testing.T) {
		c := newClock()
		ctl := c.controller(limits)
		first, stopped := enter(t, ctl, alice)
		_ = first.gets(500)
		c.after(displaceAfter - time.Millisecond)
		second, _ := enter(t, ctl, bob)
		var full *FullError
		if err := second.gets(600); !errors.As(err, &full) || *stopped {
			t.Errorf("%v; the first was displaced: %v", err, *stopped)
		}
	})
	t.Run("as few as possible are displaced", func(t *testing.T) {
		c := newClock()
		ctl := c.controller(limits)
		first, firstStopped := enter(t, ctl, alice)
		_ = first.gets(500)
		c.after(time.Second)
		_, secondStopped := enter(t, ctl, alice)
		c.after(time.Second)
		third, _ := enter(t, ctl, bob)
		if err := third.gets(1000); err != nil || !*firstStopped || *secondStopped {
			t.Errorf("%v; displaced: the first %v, the second %v", err, *firstStopped, *secondStopped)
		}
	})
	t.Run("a released body no longer counts", func(t *testing.T) {
		ctl := newClock().controller(limits)
		q, _ := enter(t, ctl, alice)
		q.release()
		if err := q.gets(500); err != nil || ctl.Bytes() != 0 {
			t.Errorf("%v, %d bytes are in flight", err, ctl.Bytes())
		}
	})
	t.Run("one body may use all bytes", func(t *testing.T) {
		l := limits
		l.ClientShare = 0.25
		q, _ := enter(t, newClock().controller(l), alice)
		if err := q.gets(1000); err != nil {
			t.Error(err)
		}
	})
	t.Run("a second one leaves controller to others", func(t *testing.T) {
		l := limits
		l.ClientShare = 0.25
		ctl := newClock().controller(l)
		first, _ := enter(t, ctl, alice)
		second, _ := enter(t, ctl, alice)
		first.arriveWhole()
		var full *FullError
		if err := errors.Join(first.gets(500), second.gets(251)); !errors.As(err, &full) || full.Limit != 750 {
			t.Errorf("alice got %v", err)
		}
		third, _ := enter(t, ctl, bob)
		if err := third.gets(250); err != nil {
			t.Errorf("bob got %v", err)
		}
	})
}

// TestCountsMatchRequests runs random operations and compares the counts with what the requests hold.
func TestCountsMatchRequests(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		c := newClock()
		ctl := c.controller(Limits{Requests: 1 + rnd.Int64N(20), Bytes: 1 + rnd.Int64N(5000), ClientShare: 0.05 + 0.95*rnd.Float64(), MinRate: rnd.Int64N(2000)})
		var open []*request
		for range 500 {
			c.after(time.Duration(rnd.Int64N(int64(50 * time.Millisecond))))
			if len(open) == 0 || rnd.IntN(3) == 0 {
				from := fmt.Sprintf("192.0.2.%d:1", rnd.IntN(4))
				if q, err := ctl.admit(from, func() {}, nil); err == nil {
					open = append(open, q)
				}
				continue
			}
			at := rnd.IntN(len(open))
			switch q := open[at]; rnd.IntN(4) {
			case 0:
				q.release()
				open = slices.Delete(open, at, at+1)
			case 1:
				q.arriveWhole()
			default:
				_ = q.gets(rnd.Int64N(1000))
			}
			var requests, bytes int64
			held := map[string]client{}
			for _, q := range open {
				if !q.released {
					requests++
					bytes += q.bytes
					h := held[q.id]
					h.requests, h.bytes = h.requests+1, h.bytes+q.bytes
					if q.heapIndex >= 0 {
						h.arriving++
					}
					held[q.id] = h
				}
			}
			for address, counted := range ctl.clients {
				if *counted != held[address] {
					t.Fatalf("seed %d: counted %+v for %s, it holds %+v", seed, *counted, address, held[address])
				}
			}
			if ctl.requests != requests || ctl.bytes != bytes || requests > ctl.limits.Requests || bytes > ctl.limits.Bytes {
				t.Fatalf("seed %d: counted %d requests and %d bytes, held %d and %d, limits %+v", seed, ctl.requests, ctl.bytes, requests, bytes, ctl.limits)
			}
			for i, q := range ctl.arriving {
				if q.heapIndex != i || q.released {
					t.Fatalf("seed %d: the heap is out of order", seed)
				}
			}
		}
	}
}

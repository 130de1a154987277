package admission

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// line is a connection that records its deadline.
type line struct {
	deadline time.Time
	stopped  bool
}

func (l *line) SetReadDeadline(t time.Time) error {
	l.deadline = t
	l.stopped = l.stopped || t.Unix() == 1
	return nil
}

// source returns the given numbers of bytes from successive reads, then err.
type source struct {
	sizes []int
	err   error
}

func (s *source) Read(p []byte) (int, error) {
	if len(s.sizes) == 0 {
		return 0, s.err
	}
	n := min(len(p), s.sizes[0])
	s.sizes = s.sizes[1:]
	return n, nil
}

func TestBodyDeadlines(t *testing.T) {
	const within = time.Minute
	timeout := fmt.Errorf("i/o: %w", os.ErrDeadlineExceeded)
	for name, test := range map[string]struct {
		rate     int64
		sizes    []int
		every    time.Duration
		deadline time.Duration // of the connection, from the start, after these
		failsAt  time.Duration // when a read then fails
		slow     bool          // it says so
	}{
		"nothing arrives":              {1000, nil, 0, Grace, Grace, true},
		"nothing arrives, at any rate": {0, nil, 0, within, within, false},
		"less than the rate":           {1000, slices.Repeat([]int{500}, 4), time.Second, Grace, Grace, true},
		"fast to the end of the time":  {1000, slices.Repeat([]int{5000}, 58), time.Second, within, within, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			start := c.t
			conn := &line{}
			src := &source{sizes: test.sizes, err: timeout}
			b, err := c.controller(Limits{Requests: 1, ClientShare: 1, MinRate: test.rate}).Admit("192.0.2.1:1", src, -1, within, conn, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range test.sizes {
				c.after(test.every)
				if conn.deadline.Before(c.t) {
					t.Fatalf("after %s the deadline of %s is over", c.t.Sub(start), conn.deadline.Sub(start))
				}
				if _, err := b.Read(make([]byte, 1<<16)); err != nil {
					t.Fatal(err)
				}
			}
			if got := conn.deadline.Sub(start); got > test.deadline+2*Grace/2 || got < test.deadline-Grace/2 {
				t.Errorf("the deadline is after %s, want about %s", got, test.deadline)
			}
			c.t = start.Add(test.failsAt)
			_, err = b.Read(make([]byte, 1))
			var slow *SlowError
			if !errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &slow) != test.slow {
				t.Errorf("the read says %v", err)
			}
			b.Release()
		})
	}
}

func TestArrivedBodyHasNoDeadlineAndIsNotDisplaced(t *testing.T) {
	for name, test := range map[string]struct {
		src    io.Reader
		length int64
		reads  int
	}{
		"of known length":   {&source{sizes: []int{10}, err: io.EOF}, 10, 1},
		"of unknown length": {&source{sizes: []int{10}, err: io.EOF}, -1, 2},
		"without a byte":    {strings.NewReader(""), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			ctl := c.controller(Limits{Requests: 1, ClientShare: 1, MinRate: 1000})
			conn := &line{deadline: time.Unix(5, 0)}
			b, err := ctl.Admit("192.0.2.1:1", test.src, test.length, time.Minute, conn, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range test.reads {
				_, _ = b.Read(make([]byte, 100))
			}
			c.after(time.Hour)
			if _, err := ctl.admit(bob, func() {}, nil); err == nil || conn.stopped || !conn.deadline.IsZero() || !b.Arrived() {
				t.Errorf("the newcomer got %v; stopped %v, deadline %v", err, conn.stopped, conn.deadline)
			}
		})
	}
}

func TestWaitStopsTheBodysClock(t *testing.T) {
	c := newClock()
	ctl := c.controller(Limits{Requests: 1, ClientShare: 1, MinRate: 1000})
	conn := &line{}
	b, err := ctl.Admit("192.0.2.1:1", &source{sizes: []int{10}}, 20, 10*time.Second, conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	waited, err := b.Wait(func() error {
		c.after(time.Hour)
		if !conn.deadline.IsZero() {
			t.Errorf("the client has until %v while it waits", conn.deadline)
		}
		if _, err := ctl.admit(bob, func() {}, nil); err == nil {
			t.Error("a body that waits was displaced")
		}
		return nil
	})
	if err != nil || waited != time.Hour || conn.deadline.Before(c.t.Add(Grace)) {
		t.Errorf("%v; it waited %s, and has until %v at %v", err, waited, conn.deadline, c.t)
	}
	if _, err := b.Wait(func() error { return nil }); err != nil || conn.deadline.IsZero() {
		t.Errorf("%v; the connection's deadline after a short wait is %v", err, conn.deadline)
	}
	broken := errors.New("broken")
	if _, err := b.Wait(func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	c.after(time.Second)
	enter(t, ctl, bob) // it lags again
	if _, err := b.Wait(func() error { return nil }); !errors.Is(err, ErrDisplaced) || !conn.stopped {
		t.Errorf("%v", err)
	}
}

// TestRequestWaitsForABodyThatWaitsToBeRead: such a body cannot be displaced, but may turn out to be idle once it is read.
func TestRequestWaitsForABodyThatWaitsToBeRead(t *testing.T) {
	c := newClock()
	ctl := c.controller(Limits{Requests: 1, ClientShare: 1, MinRate: 1000})
	b, err := ctl.Admit("192.0.2.1:1", &source{sizes: []int{10}}, 20, 10*time.Second, &line{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	asleep, read, entered := make(chan struct{}, 100), make(chan struct{}), make(chan error, 1)
	ctl.sleep = func(time.Duration) { asleep <- struct{}{}; <-read }
	if _, err := b.Wait(func() error {
		go func() { _, err := ctl.admit(bob, func() {}, nil); entered <- err }()
		<-asleep
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	close(read)
	if err := <-entered; err != nil {
		t.Errorf("%v", err)
	}
	if ctl.waiting != 0 {
		t.Errorf("%d bodies wait to be read", ctl.waiting)
	}
}

// closed is a connection that is closed.
type closed struct{}

func (closed) SetReadDeadline(time.Time) error { return os.ErrClosed }

func TestRequestOnAClosedConnectionIsReleased(t *testing.T) {
	ctl := newClock().controller(Limits{Requests: 1, ClientShare: 1, MinRate: 1000})
	if _, err := ctl.Admit("192.0.2.1:1", strings.NewReader("x"), 1, time.Minute, closed{}, nil); !errors.Is(err, os.ErrClosed) || ctl.Requests() != 0 {
		t.Errorf("%v, %d requests are in flight", err, ctl.Requests())
	}
}

package api

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fovea/inference"
	"fovea/internal/apierror"
	"fovea/internal/cores"
)

// undecoded changes a server to a read-ahead of 100 bytes, and its engine to one that decodes images that begin with "first"
// and responds to them when the channels are closed.
func undecoded(change ...func(*Config)) (configure func(*Config, *engine), decode, respond chan struct{}) {
	decode, respond = make(chan struct{}), make(chan struct{})
	return func(c *Config, e *engine) {
		c.ReadAhead = 100
		for _, f := range change {
			f(c)
		}
		e.predict = func(ctx context.Context, r inference.Request) (*inference.Response, error) {
			response, err := echo(ctx, r)
			response.Timing.Queue = r.Waited
			if strings.HasPrefix(string(r.Image), "first") {
				<-decode
				r.Decoded()
				<-respond
			}
			return response, err
		}
	}, decode, respond
}

// large returns a body that is larger than its first block.
func large(t *testing.T) string {
	t.Helper()
	return strings.Repeat("x", firstBlock+1)
}

// arrived waits until so many bytes of bodies have.
func (s *testServer) arrived(bytes int64) {
	s.t.Helper()
	for range 800 {
		if s.server.admission.Bytes() == bytes {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	s.t.Errorf("%d bytes have arrived, not %d", s.server.admission.Bytes(), bytes)
}

func TestBodyBeyondTheReadAheadWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		configure, decode, respond := undecoded()
		listener := newPipes()
		s := openOn(t, listener, listener.dial, configure)
		first := s.dial(begin + "Content-Length: 100\r\n\r\nfirst" + strings.Repeat(".", 95))
		time.Sleep(2 * slowAfter) // the body has arrived: waiting for a decoder does not make it slow
		responses := make(chan result, 1)
		go func() { responses <- s.post("/predict", "image/jpeg", large(t)) }()
		synctest.Wait()
		s.good() // a body within the first block does not wait
		time.Sleep(2 * slowAfter)
		if n := s.server.admission.Bytes(); n != 100+firstBlock {
			t.Errorf("%d bytes have been read while the first image was not decoded", n)
		}
		close(decode)
		if got, want := <-responses, float64(2*slowAfter.Milliseconds()); got.Status != 200 || got.Timing["queue"] != want {
			t.Errorf("%d %s, want %v ms in the queue", got.Status, got.Body, want)
		}
		close(respond)
		if status, text := s.responseOn(first); status != 200 {
			t.Errorf("the first: %d %s", status, text)
		}
		_ = first.Close()
	})
}

// TestStalledBodiesDoNotBlockOthers has more stalled bodies than read permits, each with more than a first block.
func TestStalledBodiesDoNotBlockOthers(t *testing.T) {
	configure, _, _ := undecoded(func(c *Config) { c.MinBodyRate, c.BodyTimeout = 0, time.Hour })
	s := open(t, configure)
	stalledBody := begin + fmt.Sprintf("Content-Length: %d\r\n\r\n", firstBlock+10) + large(t)
	slow := make([]net.Conn, 3*readPermitsPerCore*cores.Count())
	for i := range slow {
		slow[i] = s.dial(stalledBody)
	}
	s.arrived(int64(len(slow) * (firstBlock + 1)))
	if got := s.post("/predict", "image/jpeg", large(t)); got.Status != 200 {
		t.Errorf("%d %s", got.Status, got.Error)
	}
	if _, err := io.WriteString(slow[0], strings.Repeat("x", 9)); err != nil {
		t.Fatal(err)
	}
	if status, text := s.responseOn(slow[0]); status != 200 {
		t.Errorf("the slow one: %d %s", status, text)
	}
}

func TestWaitForAPermitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		configure, decode, respond := undecoded(func(c *Config) { c.Timeout = 300 * time.Millisecond })
		listener := newPipes()
		s := openOn(t, listener, listener.dial, configure)
		first := s.dial(begin + "Content-Length: 100\r\n\r\nfirst" + strings.Repeat(".", 95))
		synctest.Wait()
		start := time.Now()
		got := s.post("/predict", "image/jpeg", large(t))
		if took := time.Since(start); got.Status != 504 || got.Code != apierror.DeadlineExceeded || got.Error != "no response within 300ms" || took != 300*time.Millisecond {
			t.Errorf("%d %s after %s", got.Status, got.Body, took)
		}
		close(decode)
		close(respond)
		s.responseOn(first)
		_ = first.Close()
		s.good()
	})
}

// TestWaitForAPermitCountsTowardTheTimeout: what is left of the time is the engine's.
func TestWaitForAPermitCountsTowardsTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		configure, decode, respond := undecoded(func(c *Config) { c.Timeout = 300 * time.Millisecond })
		listener := newPipes()
		s := openOn(t, listener, listener.dial, configure)
		predict := s.engine.predict
		s.engine.predict = func(ctx context.Context, r inference.Request) (*inference.Response, error) {
			if len(r.Image) <= firstBlock {
				return predict(ctx, r)
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		first := s.dial(begin + "Content-Length: 100\r\n\r\nfirst" + strings.Repeat(".", 95))
		synctest.Wait()
		close(respond)
		time.AfterFunc(200*time.Millisecond, func() { close(decode) })
		start := time.Now()
		got := s.post("/predict", "image/jpeg", large(t))
		if took := time.Since(start); got.Status != 504 || took != 300*time.Millisecond {
			t.Errorf("%d %s after %s", got.Status, got.Body, took)
		}
		s.responseOn(first)
		_ = first.Close()
	})
}

func TestReservationsAreReleased(t *testing.T) {
	configure, _, _ := undecoded()
	s := open(t, configure)
	unknown := func(body string) io.Reader { return struct{ io.Reader }{strings.NewReader(body)} }
	for name, ask := range map[string]func() result{
		"one image":         func() result { return s.post("/predict", "image/jpeg", "pixels") },
		"a large image":     func() result { return s.post("/predict", "image/jpeg", large(t)) },
		"has no image":      func() result { return s.post("/predict", "image/jpeg", "") },
		"an unknown length": func() result { return s.do(s.request("POST", "/predict", "image/jpeg", unknown("pixels"))) },
		"several, two wrong": func() result {
			return s.post("/predict", "application/json", images("", "one", "truncated", "", "two"))
		},
		"all wrong": func() result { return s.post("/predict", "application/json", images("", "huge", "truncated")) },
		"no JSON":   func() result { return s.post("/predict", "application/json", "{") },
	} {
		t.Run(name, func(t *testing.T) {
			ask()
			s.eventually("fovea_requests_in_flight 0")
			r := s.server.readAhead
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.held != 0 || r.readPermits != readPermitsPerCore*cores.Count() || len(r.waiting) != 0 {
				t.Errorf("%d bytes are held, %d read permits are free, %d wait", r.held, r.readPermits, len(r.waiting))
			}
		})
	}
}

func TestReservationLastsUntilTheLastImageIsDecoded(t *testing.T) {
	_, b := reader([]byte("ab"))
	defer b.close()
	in := &submission{images: [][]byte{[]byte("a"), []byte("b")}}
	in.encoded.Store(2)
	for i, want := range []bool{false, true} {
		in.decoded(i, b)
		in.decoded(i, b) // does nothing
		if b.reservation.over != want {
			t.Errorf("after %d of 2 images: over %v", i+1, b.reservation.over)
		}
	}
}

// TestBufferGrowsWithTheBytes: an announced length takes no memory.
func TestBufferGrowsWithTheBytes(t *testing.T) {
	for _, announced := range []int{1, 4 << 10, 200_000, 2 << 20, 64 << 20} {
		copied := 0
		for have, arrived := nextSize(0, announced), 0; ; have = nextSize(have, announced) {
			if have > max(smallSize, 4*arrived+8) {
				t.Errorf("of %d bytes %d have arrived, and the buffer has %d", announced, arrived, have)
			}
			if arrived = have; arrived >= announced {
				break
			}
			copied += have
		}
		if copied > announced+smallSize {
			t.Errorf("of %d bytes %d are copied", announced, copied)
		}
	}
	if got := nextSize(100, 10); got != 200 {
		t.Errorf("beyond what was expected the buffer has %d bytes, not twice as many", got)
	}
}

func TestBufferClasses(t *testing.T) {
	for class := range classes {
		size := classSize(class)
		if got := bufferClass(size); got != class {
			t.Errorf("class of %d bytes: %d, not %d", size, got, class)
		}
		if got := bufferClass(size + 1); got != class+1 {
			t.Errorf("class of %d bytes: %d, not %d", size+1, got, class+1)
		}
		if class > 0 && 4*size > 5*classSize(class-1) {
			t.Errorf("from %d to %d bytes is more than a quarter", classSize(class-1), size)
		}
	}
	if largest := int64(classSize(classes - 1)); largest <= int64(Defaults().MaxImageBytes) {
		t.Errorf("the largest image's buffer is not kept: the largest has %d bytes", largest)
	}
}

func TestShrink(t *testing.T) {
	for name, test := range map[string]struct{ size, capacity, want int }{
		"a buffer that fits":                   {5000, 5120, 5120},
		"half empty, and none smaller by half": {2600, 5120, 5120},
		"more than half empty":                 {3000, 1 << 20, 4096},
		"empty":                                {0, 1 << 20, 4096},
	} {
		t.Run(name, func(t *testing.T) {
			b := append(make([]byte, 0, test.capacity), strings.Repeat("x", test.size)...)
			if got := shrink(b); cap(got) != test.want || string(got) != strings.Repeat("x", test.size) {
				t.Errorf("%d bytes in %d", len(got), cap(got))
			}
		})
	}
}

// TestNoPermitIsLostWhenABodyExpires: on a busy machine the expiry may fire just before the body begins to wait for a read permit,
// and its function run only after that.
func TestNoPermitIsLostWhenABodyExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReadAhead(1 << 20)
		r.readPermits = 1
		other := r.reserve()
		if !other.tryAcquire() {
			t.Fatal("no read permit is free")
		}
		v := r.reserve()
		v.received(100)
		v.expiry.Stop()
		fired := make(chan struct{})
		v.expiry = time.AfterFunc(0, func() { <-fired; v.expire() })
		synctest.Wait()
		acquired := make(chan error, 1)
		go func() { acquired <- v.acquire(t.Context()) }()
		synctest.Wait()
		close(fired)
		synctest.Wait()
		other.release()
		if err := <-acquired; err != nil {
			t.Fatal(err)
		}
		v.release()
		if r.readPermits != 1 || r.held != 0 || len(r.waiting) != 0 {
			t.Errorf("%d read permits are free, %d bytes are held, %d wait", r.readPermits, r.held, len(r.waiting))
		}
	})
}

func TestPermitsAreFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReadAhead(100)
		full, v, w := r.reserve(), r.reserve(), r.reserve()
		full.received(60)
		v.received(50)
		acquired := make(chan error, 1)
		go func() { acquired <- w.acquire(t.Context()) }()
		synctest.Wait()
		if v.tryAcquire() {
			t.Error("it got a read permit before the body that waits")
		}
		full.release()
		if err := <-acquired; err != nil {
			t.Error(err)
		}
		v.release()
		w.release()
	})
}

// TestReservationExpires in virtual time: how long a body counts, by what it and others do.
func TestReservationExpires(t *testing.T) {
	t.Run("stalled after it has waited for its read permit", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newReadAhead(1000)
			r.readPermits = 1
			other, v := r.reserve(), r.reserve()
			if !other.tryAcquire() || v.tryAcquire() {
				t.Fatal("there should be one read permit")
			}
			other.arrived()
			if err := v.acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(contendedAfter)
			synctest.Wait()
			if other.release(); !v.over || r.readPermits != 1 {
				t.Errorf("over %v, %d read permits", v.over, r.readPermits)
			}
			v.release()
		})
	})
	const limit = 1000
	for name, test := range map[string]struct {
		permit  bool          // to read beyond the first block
		waits   bool          // another body, for a read permit
		every   time.Duration // 10 bytes arrive; 0: never
		expires time.Duration
	}{
		"within its first block":                {false, false, 0, slowAfter},
		"stalled":                               {true, false, 0, stalledAfter},
		"stalled, and another waits":            {true, true, contendedAfter - time.Millisecond, slowAfter},
		"slower than a waiting body allows":     {true, true, contendedAfter, contendedAfter * 2},
		"arriving slowly beyond its whole time": {true, false, stalledAfter - time.Millisecond, slowAfter},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReadAhead(limit)
				r.readPermits = 1
				v := r.reserve()
				start := time.Now()
				if test.permit && !v.tryAcquire() {
					t.Fatal("no read permit is free")
				}
				if test.waits {
					w := r.reserve()
					defer w.release()
					go func() { _ = w.acquire(t.Context()) }()
					synctest.Wait()
				}
				over := func() bool { r.mu.Lock(); defer r.mu.Unlock(); return v.over }
				for next := test.every; !over() && time.Since(start) < time.Second; time.Sleep(time.Millisecond / 2) {
					synctest.Wait()
					if elapsed := time.Since(start); test.every > 0 && elapsed >= next {
						v.received(10)
						next += test.every
					}
				}
				if got := time.Since(start); got < test.expires || got > test.expires+time.Millisecond {
					t.Errorf("it counted for %s, want %s", got, test.expires)
				}
				v.release()
			})
		})
	}
}

// TestBufferOfABodyThatHasArrived: buffers grow with what has arrived, also in the socket, and never with what is announced.
func TestBufferOfABodyThatHasArrived(t *testing.T) {
	const length = 1 << 20
	for name, test := range map[string]struct{ arrived, have, want int }{
		"nothing is known":                         {0, 0, nextSize(0, length)},
		"nothing more has arrived":                 {0, 100_000, nextSize(100_000, length)},
		"more has arrived than the buffer holds":   {500_000, 0, 500_000 + 4<<10},
		"all has arrived":                          {length, 0, length},
		"the rest has arrived":                     {length, 100_000, length},
		"more has arrived: of another request":     {2 * length, 0, length},
		"less has arrived than the buffer is read": {1, 300_000, nextSize(300_000, length)},
	} {
		b := &body{arrived: func() int { return test.arrived }}
		if got := b.size(test.have, length); got != test.want {
			t.Errorf("%s: %d bytes, want %d", name, got, test.want)
		}
	}
}

// TestReadPermitOfABodyThatHasArrived: a body whose first block has arrived is read at once, if there is a read permit for it.
func TestReadPermitOfABodyThatHasArrived(t *testing.T) {
	for name, test := range map[string]struct {
		arrived, permits int
		want             bool
	}{
		"the first block has arrived":      {firstBlock, 1, true},
		"there is no permit":               {firstBlock, 0, false},
		"less has arrived":                 {firstBlock - 1, 1, false},
		"it is not known what has arrived": {0, 1, false},
	} {
		r := newReadAhead(1 << 30)
		r.readPermits = test.permits
		b := &body{reservation: r.reserve(), arrived: func() int { return test.arrived }}
		if got := b.tryReadPermit(); got != test.want || r.readPermits != test.permits-map[bool]int{true: 1}[got] {
			t.Errorf("%s: %v, and %d permits are left", name, got, r.readPermits)
		}
		b.reservation.release()
		if r.readPermits != test.permits {
			t.Errorf("%s: %d permits after the end", name, r.readPermits)
		}
	}
}

package api

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"fovea/inference"
	"fovea/internal/apierror"
)

// undecoded is a site that reads 100 bytes ahead, whose engine takes images that begin with "first" and neither decodes
// nor answers them until told.
func undecoded(t *testing.T, change ...func(*Config)) (s *site, decode, answer chan struct{}) {
	decode, answer = make(chan struct{}), make(chan struct{})
	s = open(t, func(c *Config, e *engine) {
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
				<-answer
			}
			return response, err
		}
	})
	return s, decode, answer
}

// large is a body that is larger than its first block.
func large(t *testing.T) string {
	t.Helper()
	return strings.Repeat("x", firstBlock+1)
}

// arrived waits until so many bytes of bodies have.
func (s *site) arrived(bytes int64) {
	s.t.Helper()
	for range 800 {
		if s.server.admission.Bytes() == bytes {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	s.t.Errorf("%d bytes have arrived, not %d", s.server.admission.Bytes(), bytes)
}

func TestABodyBeyondWhatIsReadAheadWaitsInTheNetwork(t *testing.T) {
	s, decode, answer := undecoded(t)
	first := s.dial(begin + "Content-Length: 100\r\n\r\nfirst" + strings.Repeat(".", 95))
	s.eventually("fovea_body_bytes_in_flight 100")
	time.Sleep(2 * slowBody) // it has arrived: that it waits for a decoder makes it no slow body
	answered := make(chan result, 1)
	go func() { answered <- s.post("/predict", "image/jpeg", large(t)) }()
	s.arrived(100 + firstBlock)
	s.good() // one that is not larger than a first block need not wait
	time.Sleep(2 * slowBody)
	if n := s.server.admission.Bytes(); n != 100+firstBlock {
		t.Errorf("the second body was read while the first was not decoded: %d bytes are there", n)
	}
	close(decode)
	if got := <-answered; got.Status != 200 || got.Timing["queue"] < 50 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	close(answer)
	if status, text := s.answerOn(first); status != 200 {
		t.Errorf("the first: %d %s", status, text)
	}
}

// TestBodiesThatStallHoldNobodyUp has more of them than there are turns, each with more than a first block.
func TestBodiesThatStallHoldNobodyUp(t *testing.T) {
	s, _, _ := undecoded(t, func(c *Config) { c.MinBodyRate, c.BodyTimeout = 0, time.Hour })
	stalledBody := begin + fmt.Sprintf("Content-Length: %d\r\n\r\n", firstBlock+10) + large(t)
	slow := make([]net.Conn, 3*turnsPerCore*runtime.GOMAXPROCS(0))
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
	if status, text := s.answerOn(slow[0]); status != 200 {
		t.Errorf("the slow one: %d %s", status, text)
	}
}

func TestABodyThatIsNotReadInTimeIsNoAnswerInTime(t *testing.T) {
	s, decode, answer := undecoded(t, func(c *Config) { c.Timeout = 300 * time.Millisecond })
	first := s.dial(begin + "Content-Length: 100\r\n\r\nfirst" + strings.Repeat(".", 95))
	s.eventually("fovea_body_bytes_in_flight 100")
	got := s.post("/predict", "image/jpeg", large(t))
	if got.Status != 504 || got.Code != apierror.DeadlineExceeded || got.Error != "no answer within 300ms" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	close(decode)
	close(answer)
	s.answerOn(first)
	s.good()
}

func TestEveryRequestGivesBackWhatItReadAhead(t *testing.T) {
	s, _, _ := undecoded(t)
	unknown := func(body string) io.Reader { return struct{ io.Reader }{strings.NewReader(body)} }
	for name, ask := range map[string]func() result{
		"one image":         func() result { return s.post("/predict", "image/jpeg", "pixels") },
		"a large image":     func() result { return s.post("/predict", "image/jpeg", large(t)) },
		"no image":          func() result { return s.post("/predict", "image/jpeg", "") },
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
			if r.held != 0 || r.turns != turnsPerCore*runtime.GOMAXPROCS(0) || len(r.waiting) != 0 {
				t.Errorf("%d bytes are held, %d turns are free, %d wait", r.held, r.turns, len(r.waiting))
			}
		})
	}
}

// TestABuffersRoomFollowsWhatHasArrived: what is announced takes no memory.
func TestABuffersRoomFollowsWhatHasArrived(t *testing.T) {
	for _, announced := range []int{1, 4 << 10, 200_000, 2 << 20, 64 << 20} {
		copied := 0
		for have, arrived := nextRoom(0, announced), 0; ; have = nextRoom(have, announced) {
			if have > max(smallRoom, 4*arrived+8) {
				t.Errorf("of %d bytes %d have arrived, and the buffer has %d", announced, arrived, have)
			}
			if arrived = have; arrived >= announced {
				break
			}
			copied += have
		}
		if copied > announced+smallRoom {
			t.Errorf("of %d bytes %d are copied", announced, copied)
		}
	}
	if got := nextRoom(100, 10); got != 200 {
		t.Errorf("beyond what was expected the buffer has %d bytes, not twice as many", got)
	}
}

func TestBuffersHaveTheSizeThatIsNeeded(t *testing.T) {
	for class := range sizes {
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
	if largest := int64(classSize(sizes - 1)); largest <= int64(Defaults().MaxImageBytes) {
		t.Errorf("the largest image's buffer is not kept: the largest has %d bytes", largest)
	}
}

func TestAImageThatIsSmallForItsBufferMoves(t *testing.T) {
	for name, test := range map[string]struct{ size, room, want int }{
		"a buffer that fits":                   {5000, 5120, 5120},
		"half empty, and none smaller by half": {2600, 5120, 5120},
		"more than half empty":                 {3000, 1 << 20, 4096},
		"empty":                                {0, 1 << 20, 4096},
	} {
		t.Run(name, func(t *testing.T) {
			b := append(make([]byte, 0, test.room), strings.Repeat("x", test.size)...)
			if got := fitted(b); cap(got) != test.want || string(got) != strings.Repeat("x", test.size) {
				t.Errorf("%d bytes in %d", len(got), cap(got))
			}
		})
	}
}

// TestNoTurnIsLostWhenABodyIsSlowAsItBegins: on a busy machine the timer that makes a body a slow one may go off just before
// the body begins to wait for its turn, and do its work only after that.
func TestNoTurnIsLostWhenABodyIsSlowAsItBegins(t *testing.T) {
	r := newReadAhead(1 << 20)
	r.turns = 1
	other := r.enter()
	if !other.tryBegin() {
		t.Fatal("there is no turn")
	}
	s := r.enter()
	s.read(100)
	s.slow.Stop()
	gone, held := make(chan struct{}), make(chan struct{})
	s.slow = time.AfterFunc(0, func() { close(gone); <-held; s.release() })
	<-gone
	began := make(chan error, 1)
	go func() { began <- s.begin(t.Context()) }()
	for range 1000 {
		r.mu.Lock()
		is := s.over || len(r.waiting) > 0
		r.mu.Unlock()
		if is {
			break
		}
		time.Sleep(time.Millisecond)
	}
	close(held)
	for over := false; !over; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		over = s.over
		r.mu.Unlock()
	}
	other.leave()
	if err := <-began; err != nil {
		t.Fatal(err)
	}
	s.leave()
	if r.turns != 1 || r.held != 0 || len(r.waiting) != 0 {
		t.Errorf("%d turns are free, %d bytes are held, %d wait", r.turns, r.held, len(r.waiting))
	}
}

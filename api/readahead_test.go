package api

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fovea/fault"
	"fovea/inference"
)

// undecoded is a site that reads 100 bytes ahead, whose engine takes pictures that begin with "first" and neither decodes
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

// later is a body that tells when it is read.
type later struct {
	io.Reader
	read atomic.Bool
}

func (l *later) Read(p []byte) (int, error) {
	l.read.Store(true)
	return l.Reader.Read(p)
}

func TestABodyBeyondWhatIsReadAheadWaitsInTheNetwork(t *testing.T) {
	for name, body := range map[string]string{
		"a body of known length":       strings.Repeat("x", 80),
		"a body larger than the bound": strings.Repeat("x", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			s, decode, answer := undecoded(t)
			first := s.dial(begin + "Content-Length: 60\r\n\r\nfirst" + strings.Repeat(".", 55))
			s.eventually("fovea_body_bytes_in_flight 60")
			time.Sleep(2 * slowBody) // it has arrived: that it waits for a decoder makes it no slow body
			second := &later{Reader: strings.NewReader(body)}
			r := s.request("POST", "/predict", "image/jpeg", second)
			r.ContentLength = int64(len(body))
			r.Header.Set("Expect", "100-continue")
			answered := make(chan result, 1)
			go func() { answered <- s.do(r) }()
			s.eventually("fovea_requests_in_flight 2")
			time.Sleep(2 * slowBody)
			if second.read.Load() {
				t.Error("the second body was read while the first was not decoded")
			}
			close(decode)
			if got := <-answered; got.Status != 200 || got.Timing["queue"] < 50 {
				t.Errorf("%d %s", got.Status, got.Body)
			}
			close(answer)
			if status, text := s.answerOn(first); status != 200 {
				t.Errorf("the first: %d %s", status, text)
			}
		})
	}
}

func TestASlowBodyHoldsNobodyUp(t *testing.T) {
	s, _, _ := undecoded(t)
	slow := s.dial(begin + "Content-Length: 100\r\n\r\nhalf")
	s.eventually("fovea_body_bytes_in_flight 100")
	s.good()
	if _, err := io.WriteString(slow, strings.Repeat("x", 96)); err != nil {
		t.Fatal(err)
	}
	if status, text := s.answerOn(slow); status != 200 {
		t.Errorf("the slow one: %d %s", status, text)
	}
}

func TestABodyThatIsNotReadInTimeIsNoAnswerInTime(t *testing.T) {
	s, decode, answer := undecoded(t, func(c *Config) { c.Timeout = 300 * time.Millisecond })
	first := s.dial(begin + "Content-Length: 100\r\n\r\nfirst" + strings.Repeat(".", 95))
	s.eventually("fovea_body_bytes_in_flight 100")
	got := s.post("/predict", "image/jpeg", "a good picture")
	if got.Status != 504 || got.Code != fault.DeadlineExceeded || got.Error != "no answer within 300ms" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	close(decode)
	close(answer)
	s.answerOn(first)
	s.good()
}

func TestEveryRequestGivesBackWhatItReadAhead(t *testing.T) {
	s, _, _ := undecoded(t)
	unknown := func(body string) *later { return &later{Reader: strings.NewReader(body)} }
	for name, ask := range map[string]func() result{
		"one picture":       func() result { return s.post("/predict", "image/jpeg", "pixels") },
		"no picture":        func() result { return s.post("/predict", "image/jpeg", "") },
		"an unknown length": func() result { return s.do(s.request("POST", "/predict", "image/jpeg", unknown("pixels"))) },
		"several, two wrong": func() result {
			return s.post("/predict", "application/json", pictures("", "one", "truncated", "", "two"))
		},
		"all wrong": func() result { return s.post("/predict", "application/json", pictures("", "huge", "truncated")) },
		"no JSON":   func() result { return s.post("/predict", "application/json", "{") },
	} {
		t.Run(name, func(t *testing.T) {
			ask()
			s.eventually("fovea_requests_in_flight 0")
			if room := s.server.readAhead.room; room.TryAcquire(100) {
				room.Release(100)
			} else {
				t.Error("not all of the 100 bytes are free again")
			}
		})
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
	if largest := int64(classSize(sizes - 1)); largest <= Defaults().MaxImageBytes {
		t.Errorf("the largest picture's buffer is not kept: the largest has %d bytes", largest)
	}
}

func TestAPictureThatIsSmallForItsBufferMoves(t *testing.T) {
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

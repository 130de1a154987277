package httpserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// sink is a connection that notes what is written. Each of its first writes takes a few bytes and then meets its deadline.
type sink struct {
	net.Conn

	mu     sync.Mutex
	writes [][]byte
	short  int // writes
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.short > 0 && len(p) > 3 {
		s.short--
		s.writes = append(s.writes, bytes.Clone(p[:3]))
		return 3, os.ErrDeadlineExceeded
	}
	s.writes = append(s.writes, bytes.Clone(p))
	return len(p), nil
}

func (s *sink) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(bytes.Join(s.writes, nil))
}

// update makes a frame that updates a window.
func update(stream uint32, n int) []byte {
	return frame(windowUpdateFrame, 0, stream, string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}))
}

// await waits until all of want is written.
func (s *sink) await(t *testing.T, want string) {
	t.Helper()
	for range 2000 {
		if s.all() == want {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("%d bytes are written, want %d", len(s.all()), len(want))
}

func TestHeldFrames(t *testing.T) {
	const settings = 4
	header, content, trailer := frame(headersFrame, 4, 1, "header"), frame(dataFrame, 0, 1, "content"), frame(headersFrame, 5, 1, "trailer")
	for _, test := range []struct {
		name     string
		together bool
		writes   [][]byte
		held     int // writes that are held back after all
	}{
		{"a response, one by one", false, [][]byte{header, content, trailer}, 0},
		{"a response together", true, [][]byte{header, content}, 2},
		{"its end takes all along", true, [][]byte{header, content, trailer}, 0},
		{"in pieces", true, [][]byte{header[:4], header[4:], content[:12], content[12:], trailer}, 0},
		{"a large one", true, [][]byte{header, frame(dataFrame, 0, 1, strings.Repeat("x", holdSize))}, 0},
		{"updates wait", false, [][]byte{update(1, 1000), update(0, 1000)}, 2},
		{"for anything else", false, [][]byte{update(1, 1000), header}, 0},
		{"unless they are large, of a stream", false, [][]byte{update(1, streamWindow/2)}, 0},
		{"unless they are large, of the connection", false, [][]byte{update(0, connectionWindow/4), update(0, connectionWindow/4)}, 0},
		{"what looks like one within a frame does not wait", false, [][]byte{frame(dataFrame, 0, 1, string(update(1, 1)))[:9], update(1, 1)}, 0},
		{"other frames do not wait", true, [][]byte{frame(settings, 1, 0, "")}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &sink{}
			w := newFrameWriter(s)
			defer w.timer.Stop()
			if test.together {
				w.until = time.Now().Add(time.Hour)
			}
			for _, p := range test.writes {
				if n, err := w.Write(p); n != len(p) || err != nil {
					t.Fatal(n, err)
				}
			}
			want := string(bytes.Join(test.writes[:len(test.writes)-test.held], nil))
			if got := s.all(); got != want {
				t.Errorf("%q is written, want %q", got, want)
			}
			if test.held > 0 == (w.block == nil) {
				t.Error("a block is held without anything in it, or not held")
			}
		})
	}
}

func TestHeldFramesAreWrittenInTime(t *testing.T) {
	s := &sink{}
	w := newFrameWriter(s)
	var sent []byte
	for range 3 { // the timer is set again
		w.mu.Lock()
		w.until = time.Now().Add(holdResponse)
		w.mu.Unlock()
		for _, p := range [][]byte{update(1, 1), frame(headersFrame, 4, 1, "header")} {
			sent = append(sent, p...)
			_, _ = w.Write(p)
		}
		s.await(t, string(sent))
	}
}

// Whatever is written arrives in order, also across deadlines that net/http moves on.
func TestHeldFramesStayInOrder(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := &sink{short: random.IntN(4)}
		w := newFrameWriter(s)
		var want bytes.Buffer
		for range 1 + random.IntN(20) {
			var p []byte
			switch random.IntN(4) {
			case 0:
				p = update(uint32(random.IntN(3)), random.IntN(100_000))
			case 1:
				p = frame(headersFrame, byte(random.IntN(2)), 1, "header")
			case 2:
				p = frame(dataFrame, byte(random.IntN(2)), 1, strings.Repeat("x", random.IntN(holdSize)))
			default:
				w.mu.Lock()
				w.until = time.Now().Add(holdResponse)
				w.mu.Unlock()
				continue
			}
			want.Write(p)
			for len(p) > 0 { // as net/http does
				n, err := w.Write(p[:1+random.IntN(len(p))])
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal(err)
				}
				p = p[n:]
			}
		}
		s.await(t, want.String())
	}
}

// A handler that has its response sent together sends what another sends.
func TestTogether(t *testing.T) {
	const n = 200
	address := serve(t, func(s *http.Server) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Length", strconv.Itoa(1000*len(r.URL.Path)))
			Together(r, 1000*len(r.URL.Path))
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, strings.Repeat(r.URL.Path, 1000))
			w.Header().Set(http.TrailerPrefix+"End", "yes")
		})
	})
	for _, http2 := range []bool{false, true} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(!http2)
		protocols.SetUnencryptedHTTP2(http2)
		transport := &http.Transport{Protocols: protocols}
		client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
		var work sync.WaitGroup
		for i := range 8 {
			work.Go(func() {
				for k := range n / 8 {
					path := fmt.Sprintf("/%d-%d", i, k)
					response, err := client.Post("http://"+address+path, "text/plain", strings.NewReader(strings.Repeat("x", k*10_000)))
					if err != nil {
						t.Error(err)
						return
					}
					body, err := io.ReadAll(response.Body)
					_ = response.Body.Close()
					if err != nil || string(body) != strings.Repeat(path, 1000) || http2 && response.Trailer.Get("End") != "yes" {
						t.Errorf("%v, %d bytes, trailer %v", err, len(body), response.Trailer)
					}
				}
			})
		}
		work.Wait()
		transport.CloseIdleConnections()
	}
}

// A timer that was set for an earlier write does not send what is held back before its time, nor forget it.
func TestTimerOfAnEarlierWrite(t *testing.T) {
	s := &sink{}
	w := newFrameWriter(s)
	_, _ = w.Write(update(1, 1))
	header := frame(headersFrame, 4, 1, "header")
	_, _ = w.Write(header) // takes the update along
	late := update(1, 2)
	w.mu.Lock()
	w.hold(late, time.Now().Add(time.Hour))
	w.mu.Unlock()
	w.expire()
	if got := s.all(); got != string(update(1, 1))+string(header) {
		t.Errorf("%q is written", got)
	}
	w.mu.Lock()
	w.at = time.Now()
	w.mu.Unlock()
	w.expire()
	if got := s.all(); got != string(update(1, 1))+string(header)+string(late) {
		t.Errorf("%q is written after its time", got)
	}
	w.timer.Stop()
}

package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// If a response comes before the whole body, the connection must stay usable or be closed with notice, and nothing may read
// from it once the handler has returned, or net/http panics.
func TestEarlyResponses(t *testing.T) {
	answers := func(answer string) func(*testing.T) []Replica {
		return func(t *testing.T) []Replica {
			return []Replica{raw(t, "a", func(c net.Conn, r *bufio.Reader) {
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.WriteString(c, answer)
					if strings.Contains(answer, "Length: 5") {
						return // within the response
					}
					_, err = io.Copy(io.Discard, req.Body)
					if err != nil || strings.Contains(answer, "close") {
						return
					}
				}
			})}
		}
	}
	for name, c := range map[string]struct {
		replicas func(*testing.T) []Replica
		status   int
	}{
		"no replica is ready":          {func(*testing.T) []Replica { return nil }, 503},
		"no replica can be reached":    {func(t *testing.T) []Replica { return []Replica{goneReplica(t, "a")} }, 503},
		"the replica refuses early":    {answers("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\nno"), 429},
		"the replica responds chunked": {answers("HTTP/1.1 429 Too Many Requests\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"), 429},
		"the replica closes early":     {answers("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"), 413},
		"the replica closes midway":    {answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nno"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, nil, c.replicas(t)...)
			var clients sync.WaitGroup
			for i := range 8 {
				clients.Go(func() {
					for round := range 6 {
						sendEarly(t, f, []int{2_000, 5_000, 200_000, 400_000}[round%4], (i+round)%3, c.status)
					}
				})
			}
			clients.Wait()
			if log := f.log.String(); strings.Contains(log, "panic") {
				t.Errorf("a handler panicked:\n%.2000s", log)
			}
		})
	}
}

// sendEarly sends a request over a new connection, and a second one unless the connection is closed. The second half of the
// body is sent at once (0), after the response (1), or never (2). The first half is more than the gateway waits for before it
// chooses a backend.
func sendEarly(t *testing.T, f *fixture, size, manner, status int) {
	c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	r := bufio.NewReader(c)
	body := strings.Repeat("x", size)
	for round := range 2 {
		head := "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: " + strconv.Itoa(size) + "\r\n\r\n"
		half := size / 2
		if manner == 0 {
			half = size
		}
		if _, err := io.WriteString(c, head+body[:half]); err != nil {
			return // closed meanwhile, since a body was not read
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			if round == 0 && manner > 0 { // A client that keeps sending may lose the response to a reset.
				t.Errorf("no answer: %v", err)
			}
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if status != 0 && res.StatusCode != status { // One that is cut off may be a 502, too.
			t.Errorf("%d, want %d", res.StatusCode, status)
		}
		if res.Close || manner == 2 {
			return
		}
		_, _ = io.WriteString(c, body[half:])
	}
}

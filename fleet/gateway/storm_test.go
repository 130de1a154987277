package gateway

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Whatever replicas and clients do to a request's body, one goroutine at a time reads its connection: net/http panics otherwise, and
// each fixture looks for that. The next request on a connection gets its own response.
func TestBodiesInAStorm(t *testing.T) {
	const clients, connections = 12, 6
	var replicas []Replica
	for _, id := range []string{"a", "b", "c", "d"} {
		replicas = append(replicas, raw(t, id, moody))
	}
	f := start(t, func(c *Config) {
		c.ResponseTimeout = 100 * time.Millisecond
		c.ReplayMemory = 2 << 20 // some bodies are not kept, and end with their first attempt
		c.PoisonThreshold = 0    // they are alike
	}, replicas...)
	f.retrier.spareTimeout = 10 * time.Millisecond
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 0))
			for n := range connections {
				stormyClient(t, f, random, fmt.Sprintf("%d.%d", i, n))
			}
		})
	}
	all.Wait()
}

// moody is a replica whose treatment of a request depends on the request's name.
func moody(c net.Conn, r *bufio.Reader) {
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		mood := req.Header.Get("Mood")
		if len(mood) == 0 {
			return
		}
		answer := func(status string, length int) {
			_, _ = fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, length, strings.Repeat("x", length))
		}
		switch mood[0] {
		case '0': // answers at its end
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			answer("200 OK", 10)
		case '1': // answers early, and reads it
			answer("413 Too Large", 2)
		case '2': // another replica is to take it
			answer("503 Service Unavailable", 0)
		case '3': // is lost
			return
		case '4': // is lost within it
			_, _ = io.CopyN(io.Discard, req.Body, 3000)
			return
		case '5': // does not answer
			_, _ = io.CopyN(io.Discard, req.Body, 3000)
			_, _ = io.Copy(io.Discard, r)
			return
		case '6': // answers while it reads
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n")
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			_, _ = io.WriteString(c, "0\r\n\r\n")
		default: // is lost within its answer
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf")
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
	}
}

// stormyClient sends some requests on one connection.
func stormyClient(t *testing.T, f *fixture, random *rand.Rand, name string) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testTimeout))
	r := bufio.NewReader(conn)
	for i := range 4 {
		id := fmt.Sprintf("%s.%d", name, i)
		size := []int{0, 300, 2_000, 5_000, 100_000, 600_000}[random.IntN(6)]
		framing, body := fmt.Sprintf("Content-Length: %d", size), strings.Repeat("x", size)
		if random.IntN(2) == 0 {
			framing, body = "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", max(1, size), strings.Repeat("x", max(1, size)))
		}
		if random.IntN(6) == 0 {
			framing += "\r\nExpect: 100-continue"
		}
		at := []int{0, min(len(body), 1000), len(body) / 2, max(0, len(body)-1), len(body), len(body)}[random.IntN(6)]
		head := fmt.Sprintf("POST /predict HTTP/1.1\r\nHost: x\r\nX-Request-ID: %s\r\nMood: %d\r\n%s\r\n\r\n", id, random.IntN(8), framing)
		if _, err := io.WriteString(conn, head+body[:at]); err != nil {
			return // closed with the response before, or reset within a body that is not read
		}
		rest := make(chan struct{})
		manner := random.IntN(4)
		if manner < 3 { // otherwise the client is gone within the body
			delay := time.Duration(random.IntN(20)) * time.Millisecond
			go func() {
				defer close(rest)
				time.Sleep(delay)
				_, _ = io.WriteString(conn, body[at:])
			}()
		} else if close(rest); at < len(body) {
			return
		}
		keep := stormyAnswer(t, r, id)
		<-rest
		if !keep {
			return
		}
	}
}

// stormyAnswer reads a response and reports whether the connection can be used again.
func stormyAnswer(t *testing.T, r *bufio.Reader, id string) bool {
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return false // lost with its replica
		}
		if res.StatusCode == http.StatusContinue {
			continue
		}
		_, err = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if got := res.Header.Get(requestIDHeader); got != id {
			t.Errorf("the response to %s is that to %q: %d", id, got, res.StatusCode)
			return false
		}
		return err == nil && !res.Close
	}
}

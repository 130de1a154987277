package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fovea/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers each request with its path and body until the test ends.
func serve(t *testing.T, change func(*http.Server)) string {
	t.Helper()
	s := New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, "%s %s %s;", r.Proto, r.URL.Path, body)
	}), time.Minute, time.Minute, slog.New(slog.DiscardHandler))
	if change != nil {
		change(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- Serve(s, l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// talk sends text, in pieces of a size, and returns all that is answered until the connection is closed.
func talk(t *testing.T, address, text string, piece int) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	for len(text) > 0 {
		n := min(piece, len(text))
		if _, err := io.WriteString(c, text[:n]); err != nil {
			break // it was refused
		}
		text = text[n:]
	}
	if half, ok := c.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
	answer, _ := io.ReadAll(c) // what came before a reset is enough
	return string(answer)
}

const (
	line    = "POST /1 HTTP/1.1\r\nHost: x\r\n"
	chunked = "Transfer-Encoding: chunked\r\n"
	length  = "Content-Length: 5\r\n"
	chunks  = "5\r\nhello\r\n0\r\n\r\n"
	second  = "GET /second HTTP/1.1\r\nHost: x\r\n\r\n"
)

// Requests whose end is seen at different places by different readers, each followed by one that could be smuggled in.
func TestAmbiguousRequestsAreRefused(t *testing.T) {
	address := serve(t, nil)
	for name, text := range map[string]string{
		"a length and chunks":                     line + length + chunked + "\r\n" + chunks,
		"chunks and a length":                     line + chunked + length + "\r\n" + chunks,
		"in other letters":                        line + "tRANSFER-eNCODING: CHUNKED\r\ncontent-LENGTH: 5\r\n\r\n" + chunks,
		"a length of 0 and chunks":                line + "Content-Length: 0\r\n" + chunked + "\r\n" + chunks,
		"lines that end in a line feed only":      "POST /1 HTTP/1.1\nHost: x\nContent-Length: 5\nTransfer-Encoding: chunked\n\n" + chunks,
		"a length in a folded line":               line + "X: y\r\n Content-Length: 5\r\n" + chunked + "\r\n" + chunks,
		"chunks in a folded line":                 line + length + "X: y\r\n\tTransfer-Encoding: chunked\r\n\r\nhello",
		"a folded header that says nothing of it": line + "X: y\r\n\tz\r\n" + length + "\r\nhello",
		"a folded value":                          line + "Transfer-Encoding:\r\n chunked\r\n" + "\r\n" + chunks,
		"chunks of HTTP/1.0":                      "POST /1 HTTP/1.0\r\nConnection: keep-alive\r\n" + chunked + "\r\n" + chunks,
		"after a good one":                        line + length + "\r\nhello" + line + length + chunked + "\r\n" + chunks,
		"after a chunked one":                     line + chunked + "\r\n" + chunks + line + length + chunked + "\r\n" + chunks,
		"after one with trailers":                 line + chunked + "\r\n" + "5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n" + line + length + chunked + "\r\n" + chunks,
		"after a long header":                     line + "X: " + strings.Repeat("x", 10_000) + "\r\n" + length + chunked + "\r\n" + chunks,
		"a length in an overlong line":            line + "Content-Length:" + strings.Repeat(" ", 2000) + "5\r\n" + chunked + "\r\n" + chunks,
		"two lengths that differ":                 line + length + "Content-Length: 6\r\n\r\nhello",
		"a length with a sign":                    line + "Content-Length: +5\r\n\r\nhello",
		"a length of several":                     line + "Content-Length: 5, 5\r\n\r\nhello",
		"an empty length":                         line + "Content-Length:\r\n\r\n",
		"two transfer encodings":                  line + chunked + chunked + "\r\n" + chunks,
		"a transfer encoding of several":          line + "Transfer-Encoding: gzip, chunked\r\n\r\n" + chunks,
		"a transfer encoding that is none":        line + "Transfer-Encoding: xchunked\r\n\r\n" + chunks,
		"a name with a space before the colon":    line + "Transfer-Encoding : chunked\r\n" + length + "\r\n" + chunks,
		"a chunk whose end is missing":            line + chunked + "\r\n5\r\nhelloX\r\n0\r\n\r\n",
		"a chunk's length in too many digits":     line + chunked + "\r\n11111111111111111\r\nhello\r\n0\r\n\r\n",
		"a chunk's length with a sign":            line + chunked + "\r\n+5\r\nhello\r\n0\r\n\r\n",
		"a chunk's line that ends in a line feed": line + chunked + "\r\n5\nhello\r\n0\r\n\r\n",
	} {
		for _, piece := range []int{1, 7, 1 << 20} {
			t.Run(fmt.Sprintf("%s, %d bytes at a time", name, piece), func(t *testing.T) {
				got := talk(t, address, text+second, piece)
				if strings.Contains(got, "/second") || strings.Count(got, "HTTP/1.1 4")+strings.Count(got, "HTTP/1.1 501 ") != 1 {
					t.Errorf("answered %q", got)
				}
			})
		}
	}
}

func TestUnambiguousRequestsAreServed(t *testing.T) {
	address := serve(t, nil)
	text := "\r\n" + second // an extra line break
	for _, body := range []string{
		length + "\r\nhello", length + length + "\r\nhello", chunked + "\r\n" + chunks, chunked + "\r\n5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\nZ: w\r\n\r\n",
		"Content-Length: 0\r\n\r\n", "\r\n", "content-length:005\r\n\r\nhello", "X-Long: " + strings.Repeat("x", 3000) + "\r\n" + length + "\r\nhello",
	} {
		text = line + body + text
	}
	for _, piece := range []int{1, 7, 1 << 20} {
		got := talk(t, address, strings.TrimPrefix(text, "\r\n"), piece)
		if strings.Count(got, "HTTP/1.1 200 OK") != 9 || strings.Count(got, "/1 hello;") != 6 || strings.Count(got, "/1 ;") != 2 || !strings.Contains(got, "/second ;") {
			t.Errorf("%d bytes at a time: answered %q", piece, got)
		}
	}
}

func TestScan(t *testing.T) {
	f := framing{}
	if _, err := f.scan([]byte(line + chunked + "\r\n5\r\nhelloX\r\n")); err == nil {
		t.Error("bytes between a chunk and its line break are accepted")
	}
	f = framing{}
	_, _ = f.scan([]byte(line + "X: "))
	for range 1000 {
		if _, err := f.scan([]byte(strings.Repeat("x", 100))); err != nil || len(f.line) > 2*keptLine {
			t.Fatalf("%v, %d bytes of a long line are kept", err, len(f.line))
		}
	}
}

// FuzzFraming checks that framing and net/http see the same requests.
func FuzzFraming(f *testing.F) {
	for _, seed := range []string{
		line + length + "\r\nhello" + second, line + chunked + "\r\n" + chunks + second, second + second, line + length + chunked + "\r\n" + chunks,
		line + chunked + "\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n" + second, "POST / HTTP/1.0\n" + chunked + "\n0\r\n\r\n", line + "X: y\r\n z\r\n\r\n", line + "Transfer-Encoding :*\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 || bytes.HasPrefix(data, []byte("PRI ")) {
			t.Skip()
		}
		f := &framing{}
		r := bufio.NewReader(bytes.NewReader(data))
		at := 0
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			end := len(data) - r.Buffered() // all of data fits the buffer, or what is left of it is not looked at
			if len(data) > 4096 {
				return
			}
			if _, err := f.scan(data[at:end]); err != nil {
				return // refused, whatever it is
			}
			head := bytes.ToLower(data[at : end-min(len(body), end-at)])
			if len(req.TransferEncoding) > 0 && bytes.Contains(head, []byte("\ncontent-length:")) && !bytes.Contains(head, []byte("\n0")) {
				t.Errorf("taken: %q", data[at:end])
			}
			if f.at != request {
				t.Errorf("after %q the framing is in part %d", data[at:end], f.at)
			}
			at = end
		}
	})
}

func TestLongestIdleConnectionIsClosed(t *testing.T) {
	c := watch(&http.Server{}, 2)
	type conn struct{ net.Conn }
	a, b, d, e := &conn{}, &conn{}, &conn{}, &conn{}
	steps := []struct {
		conn  net.Conn
		state http.ConnState
		left  net.Conn
	}{
		{a, http.StateNew, nil}, {b, http.StateNew, nil}, {a, http.StateActive, nil}, {d, http.StateNew, b}, {b, http.StateClosed, nil},
		{a, http.StateIdle, nil}, {e, http.StateNew, d}, {d, http.StateClosed, nil}, {e, http.StateActive, nil}, {a, http.StateActive, nil},
		{b, http.StateNew, b}, {b, http.StateClosed, nil}, {a, http.StateClosed, nil}, {e, http.StateClosed, nil},
	}
	for i, step := range steps {
		if left := c.update(step.conn, step.state); left != step.left {
			t.Errorf("step %d: %v is to be closed", i, left)
		}
	}
	if len(c.all) != 0 || c.idle.Len() != 0 {
		t.Errorf("%d connections are known, %d of them idle", len(c.all), c.idle.Len())
	}
}

func TestCountedConnections(t *testing.T) {
	c := watch(&http.Server{}, 8)
	type conn struct{ net.Conn }
	fresh, active, idle, closed := &conn{}, &conn{}, &conn{}, &conn{}
	for _, one := range []net.Conn{fresh, active, idle, closed} {
		c.changed(one, http.StateNew)
	}
	c.changed(active, http.StateActive)
	c.changed(idle, http.StateActive)
	c.changed(idle, http.StateIdle)
	c.changed(closed, http.StateClosed)
	if open, busy := c.Count(0); open != 3 || busy != 2 {
		t.Errorf("%d connections are open and %d busy, want 3 and 2", open, busy)
	}
}

func TestConnectionLimit(t *testing.T) {
	if n := connectionLimit(); n < 16 || n > maxConnections {
		t.Errorf("%d connections", n)
	}
}

func TestIdleConnectionsDoNotBlockOthers(t *testing.T) {
	address := serve(t, func(s *http.Server) { watch(s, 8) })
	for range 40 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if got := talk(t, address, second, 1<<20); !strings.Contains(got, "/second") {
		t.Errorf("answered %q", got)
	}
}

func TestHTTP2ByPriorKnowledge(t *testing.T) {
	address := serve(t, nil)
	transport := testenv.HTTP2()
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	for _, size := range []int{0, 10, 3 * streamWindow} {
		response, err := client.Post("http://"+address+"/1", "image/jpeg", strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || !strings.HasPrefix(string(body), "HTTP/2.0 /1 ") || len(body) != len("HTTP/2.0 /1 ;")+size {
			t.Errorf("%d bytes: %v, %d bytes %.20q", size, err, len(body), body)
		}
	}
}

func TestUnreadIsNotKnownOnHTTP2(t *testing.T) {
	known := make(chan bool, 1)
	address := serve(t, func(s *http.Server) {
		s.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { known <- Unread(r) != nil })
	})
	for _, http2 := range []bool{false, true} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(!http2)
		protocols.SetUnencryptedHTTP2(http2)
		transport := &http.Transport{Protocols: protocols}
		response, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get("http://" + address)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if got := <-known; got == http2 {
			t.Errorf("HTTP/2 %v: known %v", http2, got)
		}
		transport.CloseIdleConnections()
	}
}

func TestUnread(t *testing.T) {
	asks, answers := make(chan struct{}), make(chan bool)
	address := serve(t, func(s *http.Server) {
		s.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			for range asks {
				answers <- Unread(r)()
			}
		})
	})
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	defer close(asks)
	ask := func() bool { asks <- struct{}{}; return <-answers }
	_, _ = io.WriteString(c, line+"Content-Length: 100\r\n\r\n")
	if ask() {
		t.Error("something has arrived before anything was sent")
	}
	_, _ = io.WriteString(c, "x")
	for range 1000 {
		if ask() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("what was sent never arrives")
}

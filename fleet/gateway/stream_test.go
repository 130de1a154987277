package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Each half is sent after the other side has reacted to the first: a proxy that buffered bodies would hang.
func TestBodiesAreStreamed(t *testing.T) {
	one, two := strings.Repeat("1", firstBytes), strings.Repeat("2", firstBytes)
	for name, known := range map[string]bool{"of known length": true, "of unknown length": false} {
		t.Run(name, func(t *testing.T) {
			got := make(chan string, 2)
			f := start(t, nil, server(t, "a", func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex()
				if known {
					w.Header().Set("Content-Length", strconv.Itoa(2*firstBytes))
				}
				buf := make([]byte, firstBytes)
				for range 2 {
					_, _ = io.ReadFull(r.Body, buf)
					got <- string(buf)
					_, _ = w.Write(buf)
					_ = http.NewResponseController(w).Flush()
				}
				_, _ = io.Copy(io.Discard, r.Body) // with full duplex, net/http panics if it finds the body's end itself
			}))
			body, send := io.Pipe()
			req, _ := http.NewRequest(http.MethodPost, f.url+"/predict", body)
			if known {
				req.ContentLength = 2 * firstBytes
			}
			go func() { _, _ = io.WriteString(send, one) }()
			res, err := f.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if g := wait(t, "the first half at the replica", got); g != one {
				t.Errorf("the replica got %q", g)
			}
			buf := make([]byte, firstBytes)
			if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != one {
				t.Fatalf("the answer began with %q, %v, before the body ended", buf, err)
			}
			go func() {
				_, _ = io.WriteString(send, two)
				_ = send.Close()
			}()
			if rest, err := io.ReadAll(res.Body); err != nil || string(rest) != two {
				t.Errorf("the answer ended with %q, %v", rest, err)
			}
		})
	}
}

func TestEarlyResponseWhileTheBodyIsSent(t *testing.T) {
	f := start(t, nil, raw(t, "a", func(c net.Conn, r *bufio.Reader) {
		_, _ = r.Peek(1)
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
		_, _ = io.Copy(io.Discard, r)
	}))
	c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", firstBytes))
	res, err := http.ReadResponse(bufio.NewReader(c), nil) // nothing more is sent meanwhile
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusRequestEntityTooLarge || string(text) != "big" {
		t.Errorf("%d %q", res.StatusCode, text)
	}
}

func TestContinueComesFromTheReplica(t *testing.T) {
	for name, refuses := range map[string]bool{"replica takes the body": false, "replica refuses before the body is sent": true} {
		t.Run(name, func(t *testing.T) {
			f := start(t, nil, server(t, "a", func(w http.ResponseWriter, r *http.Request) {
				if refuses {
					w.WriteHeader(http.StatusRequestEntityTooLarge)
					return
				}
				_, _ = io.Copy(w, r.Body)
			}))
			f.upstream.ExpectContinueTimeout = testTimeout // after which the body is sent without it
			var sent atomic.Int64
			req, _ := http.NewRequest(http.MethodPost, f.url+"/predict", &counted{strings.NewReader("image"), &sent})
			req.ContentLength = 5
			req.Header.Set("Expect", "100-continue")
			got := f.do(req)
			if refuses && (got.status != 413 || sent.Load() != 0) {
				t.Errorf("%d after %d bytes, want 413 after none", got.status, sent.Load())
			}
			if !refuses && (got.status != 200 || got.body != "image") {
				t.Errorf("%+v %v", got, got.err)
			}
		})
	}
}

type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func TestResponseTrailersPassThrough(t *testing.T) {
	f := start(t, nil, server(t, "a", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Announced")
		_, _ = io.WriteString(w, "answer")
		w.Header().Set("X-Announced", "1")
		w.Header().Set(http.TrailerPrefix+"X-Sudden", "2")
	}))
	res, err := f.client.Get(f.url + "/predict")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || string(text) != "answer" || res.Trailer.Get("X-Announced") != "1" || res.Trailer.Get("X-Sudden") != "2" {
		t.Errorf("%q %v, trailers %v", text, err, res.Trailer)
	}
}

func TestHeaders(t *testing.T) {
	seen := make(chan *http.Request, 1)
	f := start(t, nil, server(t, "a", func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		w.Header().Set("Connection", "X-Secret")
		w.Header().Set("X-Secret", "hop")
		w.Header().Set("Keep-Alive", "timeout=1")
		w.Header().Set("X-Kept", "end")
		w.Header().Set("X-Request-ID", r.Header.Get("X-Request-ID"))
		w.WriteHeader(http.StatusTeapot)
	}))
	req, _ := http.NewRequest(http.MethodPatch, f.url+"/v1/models/a%2Fb/predict?top_k=5;x&%zz", nil)
	req.Host = "cameras.example"
	for name, value := range map[string]string{
		"Connection": "X-Drop, Upgrade", "X-Drop": "hop", "Upgrade": "websocket", "Te": "gzip", "Proxy-Authorization": "secret",
		"X-Kept": "end", "X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X-Request-ID": "camera-7", "User-Agent": "",
	} {
		req.Header.Set(name, value)
	}
	got := f.do(req)
	r := wait(t, "the request", seen)
	if got.status != http.StatusTeapot || got.header.Get("X-Kept") != "end" || got.header.Get("X-Secret") != "" || got.header.Get("Keep-Alive") != "" {
		t.Errorf("answer %+v", got)
	}
	if ids := got.header.Values("X-Request-ID"); len(ids) != 1 || ids[0] != "camera-7" {
		t.Errorf("request ids %q", ids)
	}
	if r.Method != http.MethodPatch || r.RequestURI != "/v1/models/a%2Fb/predict?top_k=5;x&%zz" || r.Host != "cameras.example" {
		t.Errorf("the replica got %s %s for %s", r.Method, r.RequestURI, r.Host)
	}
	want := http.Header{
		"X-Kept": {"end"}, "X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"cameras.example"},
		"X-Forwarded-Proto": {"http"}, "X-Request-Id": {"camera-7"}, "Content-Length": {"0"},
	}
	if fmt.Sprint(r.Header) != fmt.Sprint(want) {
		t.Errorf("the replica got headers\n%v, want\n%v", r.Header, want)
	}
}

func TestRequestIDs(t *testing.T) {
	var hits atomic.Int64
	f := start(t, nil, server(t, "a", echo(&hits)))
	for name, c := range map[string]struct {
		given string
		kept  bool
	}{
		"a client's is kept":      {"a-Z.0_9~:=+/@", true},
		"one is generated":        {"", false},
		"blanks are not allowed":  {"a b", false},
		"128 characters are kept": {strings.Repeat("x", 128), true},
		"129 are not":             {strings.Repeat("x", 129), false},
	} {
		t.Run(name, func(t *testing.T) {
			req, _ := http.NewRequest(http.MethodGet, f.url+"/v1/models", nil)
			req.Header.Set("X-Request-ID", c.given)
			got := f.do(req).header.Get("X-Request-ID")
			if got == "" || (got == c.given) != c.kept {
				t.Errorf("%q became %q", c.given, got)
			}
			until(t, got+" to be in the log", func() bool { return strings.Contains(f.log.String(), `"request_id":"`+got+`"`) })
		})
	}
}

package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"fovea/inference"
)

// dial sends text as it is, and returns the connection.
func (s *testServer) dial(text string) net.Conn {
	s.t.Helper()
	conn, err := s.connect(s.t.Context(), "tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		s.t.Fatal(err)
	}
	return conn
}

func (s *testServer) responseOn(conn net.Conn) (int, string) {
	s.t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// shortBody is the body timeout where a test waits for it, longer than a stall of a busy machine.
const shortBody = time.Second

const begin = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"

func TestBodyTimeout(t *testing.T) {
	s := open(t, func(c *Config, _ *engine) { c.BodyTimeout = shortBody })
	conn := s.dial(begin + "Content-Length: 100\r\n\r\nten bytes.")
	status, body := s.responseOn(conn)
	if status != 408 || !strings.Contains(body, "did not arrive within 1s, with 10 bytes received") {
		t.Errorf("%d %s", status, body)
	}
	s.good()
}

// The form ends before its body, for which net/http would wait without a deadline.
func TestBodyContinuesAfterTheForm(t *testing.T) {
	s := open(t, func(c *Config, _ *engine) { c.BodyTimeout = shortBody })
	contentType, form := parts("image=one")
	request := "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: " + contentType + "\r\n"
	ofLength := func(n int64) string { return request + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", n, form) }
	length := int64(len(form))
	for name, test := range map[string]struct {
		text   string
		status int
	}{
		"a byte that does not come":       {ofLength(length + 1), 408},
		"a last chunk that does not come": {request + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", length, form), 408},
		"an epilogue, which is read over": {ofLength(length+8) + "epilogue", 200},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			if status, body := s.responseOn(s.dial(test.text)); status != test.status {
				t.Errorf("%d %s", status, body)
			}
			s.eventually("fovea_requests_in_flight 0")
			s.good()
		})
	}
}

func TestHalfClosedConnectionGets499(t *testing.T) {
	s := open(t, func(_ *Config, e *engine) {
		e.predict = func(ctx context.Context, r inference.Request) (*inference.Response, error) {
			if string(r.Image) != "left alone" {
				return echo(ctx, r)
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	conn := s.dial(begin + "Content-Length: 10\r\n\r\nleft alone")
	if tcp, ok := conn.(*net.TCPConn); !ok || tcp.CloseWrite() != nil {
		t.Fatal("the connection cannot be closed halfway")
	}
	if status, body := s.responseOn(conn); status != 499 || body != "" {
		t.Errorf("%d %s", status, body)
	}
	s.good()
}

func TestBodyTimeoutDoesNotEndASlowResponse(t *testing.T) {
	s := open(t, func(c *Config, e *engine) {
		c.BodyTimeout = shortBody
		e.predict = func(ctx context.Context, r inference.Request) (*inference.Response, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(2 * shortBody): // longer than the body may take
				return echo(ctx, r)
			}
		}
	})
	s.good()
	s.good()
}

func TestBodiesOnBrokenConnections(t *testing.T) {
	s := open(t)
	for name, test := range map[string]struct {
		text   string
		status int
		says   string
	}{
		"a body truncated":               {begin + "Content-Length: 100\r\n\r\nten bytes.", 400, "the body ends unexpectedly after 10 bytes"},
		"a chunked body truncated":       {begin + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 400, "the body ends unexpectedly after 5 bytes"},
		"a chunk that is no chunk":       {begin + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", 400, "cannot be read"},
		"a target that is an asterisk":   {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404, "no route"},
		"a length that no body may have": {begin + "Content-Length: 99999999999\r\n\r\nten bytes.", 413, "larger than the limit of 16777216 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			conn := s.dial(test.text)
			if tcp, ok := conn.(*net.TCPConn); !ok || tcp.CloseWrite() != nil {
				t.Fatal("the connection cannot be closed halfway")
			}
			status, body := s.responseOn(conn)
			if status != test.status || !strings.Contains(body, test.says) {
				t.Errorf("%d %s", status, body)
			}
			s.good()
		})
	}
}

// Responses of net/http itself are in plain text, as the document says.
func TestInvalidHTTPIsRefusedInPlainText(t *testing.T) {
	s := open(t)
	for name, test := range map[string]struct {
		text   string
		status int
	}{
		"a request line that is none":   {"hello\r\n\r\n", 400},
		"a header that is none":         {"GET /health HTTP/1.1\r\nHost: x\r\nhello\r\n\r\n", 400},
		"no host":                       {"GET /health HTTP/1.1\r\n\r\n", 400},
		"two lengths":                   {begin + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400},
		"headers of 80 KiB":             {"GET /health HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n", 431},
		"an unknown expectation":        {begin + "Expect: miracles\r\nContent-Length: 1\r\n\r\nx", 417},
		"an unknown transfer encoding":  {begin + "Transfer-Encoding: gzip\r\n\r\n", 501},
		"a version that is not spoken":  {"GET /health HTTP/3.0\r\nHost: x\r\n\r\n", 505},
		"a control character in a path": {"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			if status, body := s.responseOn(s.dial(test.text)); status != test.status {
				t.Errorf("%d %s", status, body)
			}
			s.good()
		})
	}
}

func TestDisconnectCancelsTheRequest(t *testing.T) {
	arrived, left := make(chan struct{}), make(chan error, 1)
	s := open(t, func(_ *Config, e *engine) {
		e.predict = func(ctx context.Context, r inference.Request) (*inference.Response, error) {
			if string(r.Image) != "left alone" {
				return echo(ctx, r)
			}
			close(arrived)
			<-ctx.Done()
			left <- context.Cause(ctx)
			return nil, ctx.Err()
		}
	})
	conn := s.dial(begin + "Content-Length: 10\r\n\r\nleft alone")
	<-arrived
	_ = conn.Close()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the engine got %v", err)
	}
	s.eventually(`fovea_requests_total{model="cats",status="499",version=""} 1`)
	s.eventually("fovea_requests_in_flight 0")
	s.good()
}

// TestRefusedRequestWithExpectContinue: it may never send its body, so the connection is closed.
func TestRefusedRequestWithExpectContinue(t *testing.T) {
	s := open(t, func(c *Config, _ *engine) { c.BodyTimeout = time.Hour })
	conn := s.dial("POST /v1/models/dogs/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n" +
		"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n")
	answer, err := io.ReadAll(conn) // to its end, within the deadline that dial sets
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 404 ") {
		t.Errorf("%v %s", err, answer)
	}
}

// eventually waits until the metrics contain the line, longer than any stall of a busy machine.
func (s *testServer) eventually(line string) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(string(s.get("/metrics").Body), line); time.Sleep(25 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Errorf("the metrics never contained %s", line)
			return
		}
	}
}

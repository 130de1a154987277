package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"fovea/inference"
)

// TestIdleConnectionsDoNotBlockOthers has more connections than requests are allowed, each of which announces a body and sends
// little of it, or nothing.
func TestIdleConnectionsDoNotBlockOthers(t *testing.T) {
	multipart := "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 67108864\r\n\r\n"
	for name, idle := range map[string]string{
		"64 MiB are announced":         multipart,
		"a form has begun":             multipart + "--x\r\nContent-Disposition: form-data; name=image\r\n\r\npixels",
		"16 MiB are announced":         begin + "Content-Length: 16777216\r\n\r\n",
		"10 bytes have come":           begin + "Content-Length: 16777216\r\n\r\nten bytes.",
		"chunks are announced":         begin + "Transfer-Encoding: chunked\r\n\r\n",
		"half a chunk has come":        begin + "Transfer-Encoding: chunked\r\n\r\n100\r\nhalf",
		"a body without a type begins": "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nten bytes.",
		"a head has begun":             begin,
		"nothing has come":             "",
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, func(c *Config, _ *engine) { c.MaxRequests = 8 })
			const connections = 40
			for range connections {
				s.dial(idle)
			}
			if strings.Contains(idle, "\r\n\r\n") { // all have arrived: those that are not in flight were refused
				refused := func() int { return strings.Count(s.log.String(), `"status":429`) }
				for range 4000 {
					if refused() >= connections-6 {
						break
					}
					time.Sleep(5 * time.Millisecond)
				}
			}
			for range 50 {
				s.good()
			}
		})
	}
}

// TestSlowReadersDoNotBlockOthers: the responses are larger than what the connections buffer.
func TestSlowReadersDoNotBlockOthers(t *testing.T) {
	s := open(t, func(c *Config, e *engine) {
		c.MaxRequests = 2
		e.predict = func(ctx context.Context, r inference.Request) (*inference.Response, error) {
			if string(r.Image) == "large" {
				r.Image = make([]byte, 4<<20) // which JSON makes six times as large
			}
			return echo(ctx, r)
		}
	})
	for range 8 {
		conn := s.dial(begin + "Content-Length: 5\r\n\r\nlarge")
		if tcp, ok := conn.(*net.TCPConn); !ok || tcp.SetReadBuffer(4096) != nil {
			t.Fatal("the receive buffer cannot be set")
		}
		if _, err := bufio.NewReaderSize(conn, 16).Peek(1); err != nil { // its response has begun
			t.Fatal(err)
		}
	}
	s.good()
	if n := s.server.admission.Requests(); n != 0 {
		t.Errorf("%d requests of clients that do not read are in flight", n)
	}
}

// TestBodyBelowTheMinimumRate does not depend on time: no sender can keep up the rate for a second.
func TestBodyBelowTheMinimumRate(t *testing.T) {
	s := open(t, func(c *Config, _ *engine) { c.MinBodyRate = 1 << 30 })
	conn := s.dial(begin + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", 1000, strings.Repeat("x", 999)))
	if status, text := s.responseOn(conn); status != 408 || !strings.Contains(text, "less than 1073741824 bytes a second, with 999 bytes received") {
		t.Errorf("%d %s", status, text)
	}
	if rest, err := io.ReadAll(conn); err != nil || len(rest) != 0 {
		t.Errorf("the connection is left open: %v %q", err, rest)
	}
	s.good()
}

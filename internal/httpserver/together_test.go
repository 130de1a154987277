package httpserver

import (
	"bytes"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestHeldResponse(t *testing.T) {
	header, body := "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", strings.Repeat("x", 5000)
	large := strings.Repeat("y", holdSize)
	for _, test := range []struct {
		name  string
		size  int
		parts []string
		wrote []string
	}{
		{"in one part", len(body), []string{header + body}, []string{header + body}},
		{"header and body", len(body), []string{header, body}, []string{header + body}},
		{"the end of the header in two parts", len(body), []string{header[:len(header)-1], header[len(header)-1:] + body[:1], body[1:]}, []string{header + body}},
		{"an empty body", 0, []string{header}, []string{header}},
		{"what follows is another response", len(body), []string{header, body, header}, []string{header + body, header}},
		{"a header that is too large", len(body), []string{large + "A: b", "\r\n\r\n", body}, []string{large + "A: b", "\r\n\r\n", body}},
		{"too large after all", len(large), []string{header, large, "end"}, []string{header + large, "end"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &sink{}
			c := &framedConn{Conn: s, response: heldResponse{expected: true, size: test.size}}
			for _, part := range test.parts {
				if n, err := c.Write([]byte(part)); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
			var got []string
			for _, w := range s.writes {
				got = append(got, string(w))
			}
			if !slices.Equal(got, test.wrote) {
				t.Errorf("%d writes of %d bytes; want %d", len(got), len(s.all()), len(test.wrote))
			}
			if c.response.expected || c.response.block != nil {
				t.Error("the next response would be held back")
			}
		})
	}
}

func TestHeldResponseThatCannotBeWritten(t *testing.T) {
	s := &sink{short: 1}
	c := &framedConn{Conn: s, response: heldResponse{expected: true, size: 4}}
	_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	if n, err := c.Write([]byte("body")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestArrived(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	c := &framedConn{Conn: conn}
	if n := c.arrived(); n != 0 {
		t.Errorf("%d bytes have arrived before any were sent", n)
	}
	if _, err := client.Write(bytes.Repeat([]byte("x"), 1000)); err != nil {
		t.Fatal(err)
	}
	var first [1]byte
	if _, err := c.Conn.Read(first[:]); err != nil { // waits until they are there
		t.Fatal(err)
	}
	if n := c.arrived(); n != 999 {
		t.Errorf("%d bytes have arrived, want 999", n)
	}
	if n := (&framedConn{Conn: &sink{}}).arrived(); n != 0 {
		t.Errorf("%d bytes on a connection that is no socket", n)
	}
}

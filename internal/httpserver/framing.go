package httpserver

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"syscall"
)

// keptLine is how much is kept of a line's beginning, and of its end: enough for a header's name, for the last digits of a
// length, and for the version of HTTP.
const keptLine = 512

// unframed is what net/http reads in place of the rest of a head that says twice how long its body is. It is no header, so
// that the request is answered with 400 and the connection closed.
const unframed = "Content-Length and Transfer-Encoding\r\n\r\n"

// preface begins a connection of HTTP/2, whose frames say how long they are.
const preface = "PRI * HTTP/2.0"

// errFraming is a request whose end two readers could see at different places.
var errFraming = errors.New("ambiguous framing")

// framed is a connection on which each request says in one way only how long its body is. net/http drops the
// Content-Length of a request that has a Transfer-Encoding too, and the Transfer-Encoding of one of HTTP/1.0, and goes on
// reading; a proxy before this server may see the request's end elsewhere, and take the rest for a request of somebody
// else. RFC 9112 sections 6.1 and 6.3 have such requests refused and their connections closed.
type framed struct {
	net.Conn
	f      framing
	poison []byte // what is read next; nil: the connection
	broken bool
}

// Read implements io.Reader.
func (c *framed) Read(p []byte) (int, error) {
	if c.broken {
		n := copy(p, c.poison)
		if c.poison = c.poison[n:]; n == 0 && len(p) > 0 {
			return 0, io.EOF
		}
		return n, nil
	}
	n, err := c.Conn.Read(p)
	if good, wrong := c.f.scan(p[:n]); wrong != nil {
		c.broken, c.poison = true, []byte(unframed)
		return c.replace(p, good)
	}
	return n, err
}

// CloseWrite lets net/http end an answer while the client still sends: without it the answer could be lost.
func (c *framed) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// unread tells whether bytes have arrived that nobody has read yet. It takes nothing from the connection.
func (c *framed) unread() bool {
	socket, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	there := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		there = err == nil && n > 0
	})
	return err == nil && there
}

// replace keeps what came before the end of the head.
func (c *framed) replace(p []byte, good int) (int, error) {
	if good > 0 {
		return good, nil
	}
	return c.Read(p)
}

// part is what a request's bytes belong to.
type part int

const (
	first    part = iota // the connection's first line
	request              // a request's line
	header               // a line of its head
	content              // a body of known length
	size                 // the line that says how long a chunk is
	chunk                // its bytes
	chunkEnd             // the line break after them
	trailer              // a line after the last chunk
	opaque               // frames of HTTP/2
)

// framing follows the requests on a connection of HTTP/1 without keeping them.
type framing struct {
	at      part
	line    []byte // what there is of the current line
	left    int64  // bytes of the body or chunk
	length  string // the value of Content-Length
	lengths int
	coded   bool // there is a Transfer-Encoding
	old     bool // not HTTP/1.1
}

// scan follows data. On an error, good is how many bytes come before the end of the head that is wrong.
func (f *framing) scan(data []byte) (good int, err error) {
	for rest := data; len(rest) > 0 && f.at != opaque; {
		if f.at == content || f.at == chunk {
			n := min(int64(len(rest)), f.left)
			rest = rest[n:]
			if f.left -= n; f.left == 0 {
				f.at = map[part]part{content: request, chunk: chunkEnd}[f.at]
			}
			continue
		}
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			if f.line = append(f.line, rest...); len(f.line) > 2*keptLine {
				f.line = append(f.line[:keptLine], f.line[len(f.line)-keptLine:]...)
			}
			return len(data), nil
		}
		good = len(data) - len(rest)
		line := rest[:end]
		if len(f.line) > 0 {
			line = append(f.line, line...)
		}
		rest = rest[end:]
		err := f.take(bytes.TrimSuffix(line[:len(line)-1], []byte("\r")))
		f.line = f.line[:0]
		if err != nil {
			return good, err
		}
	}
	return len(data), nil
}

// take takes a whole line, without its end.
func (f *framing) take(line []byte) error {
	switch f.at {
	case first, request:
		f.begin(line)
	case header:
		if len(line) == 0 {
			return f.head()
		}
		return f.field(line)
	case size:
		return f.chunkSize(line)
	case chunkEnd:
		if f.at = size; len(line) > 0 {
			return errFraming
		}
	case trailer:
		if len(line) == 0 {
			f.at = request
		}
	}
	return nil
}

func (f *framing) begin(line []byte) {
	switch {
	case f.at == first && string(line) == preface:
		f.at = opaque
	case len(line) == 0: // some clients end a body with a line break too many
	default:
		*f = framing{at: header, line: f.line, old: !bytes.HasSuffix(line, []byte(" HTTP/1.1"))}
	}
}

// field notes what a header says of the body. A line that goes on with the one before is refused, as RFC 9112 section 5.2
// allows: two readers may see different headers in it.
func (f *framing) field(line []byte) error {
	if line[0] == ' ' || line[0] == '\t' {
		f.coded, f.lengths = true, 1 // refused where the head ends
		return nil
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch string(bytes.ToLower(bytes.TrimSpace(name))) {
	case "transfer-encoding":
		f.coded = true
	case "content-length":
		f.lengths++
		f.length = string(bytes.TrimSpace(value))
	}
	return nil
}

// head takes the end of a head.
func (f *framing) head() error {
	switch {
	case f.coded && (f.lengths > 0 || f.old):
		return errFraming
	case f.coded:
		f.at = size
	case f.lengths > 0:
		n, err := strconv.ParseUint(f.length, 10, 63)
		if f.left = int64(n); err != nil {
			return errFraming
		}
		f.at = content
		if n == 0 {
			f.at = request
		}
	default:
		f.at = request
	}
	return nil
}

func (f *framing) chunkSize(line []byte) error {
	digits, _, _ := bytes.Cut(line, []byte(";")) // what follows is an extension
	n, err := strconv.ParseUint(string(bytes.TrimRight(digits, " \t")), 16, 63)
	switch {
	case err != nil:
		return errFraming
	case n == 0:
		f.at = trailer
	default:
		f.at, f.left = chunk, int64(n)
	}
	return nil
}

package httpserver

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// keptLine is how many bytes are kept of the beginning and of the end of a line: enough for a header's name, the last digits
// of a length, and the HTTP version.
const keptLine = 512

// invalidHeader is what net/http reads in place of the rest of an ambiguous request's headers. It is not a header, so net/http
// responds with 400 and closes the connection.
const invalidHeader = "Content-Length and Transfer-Encoding\r\n\r\n"

// preface begins an HTTP/2 connection, where framing is not ambiguous.
const preface = "PRI * HTTP/2.0"

// errFraming is the error of a request for which two readers could see different ends.
var errFraming = errors.New("ambiguous framing")

// framedConn is a connection that refuses requests whose length is ambiguous. net/http drops the Content-Length of a request
// that has a Transfer-Encoding too, and the Transfer-Encoding of an HTTP/1.0 request, and continues; a proxy in front of this
// server may see another end of the request, and pass the rest on as a request of another client (request smuggling). RFC
// 9112 sections 6.1 and 6.3 want such requests refused and their connections closed.
type framedConn struct {
	net.Conn
	framing framing
	refused bool
	rest    []byte       // once refused: what is still to be read, in place of the connection
	frames  *frameReader // nil: not HTTP/2, or with TLS
	writer  *frameWriter // nil: not HTTP/2
	read    int          // bytes, until they are as many as the preface of HTTP/2

	response heldResponse // on HTTP/1
}

// Read implements io.Reader.
func (c *framedConn) Read(p []byte) (int, error) {
	if c.refused {
		n := copy(p, c.rest)
		if c.rest = c.rest[n:]; n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}
	if c.frames != nil {
		return c.frames.Read(p)
	}
	n, err := c.Conn.Read(p)
	if good, ambiguous := c.framing.scan(p[:n]); ambiguous != nil {
		c.refused, c.rest = true, []byte(invalidHeader)
		if good == 0 {
			return c.Read(p)
		}
		return good, nil
	}
	if c.read < prefaceSize {
		if c.read += n; c.read == prefaceSize && c.framing.at == opaque {
			c.frames, c.writer = newFrameReader(c.Conn), newFrameWriter(c.Conn)
		}
	}
	return n, err
}

// Write implements io.Writer.
func (c *framedConn) Write(p []byte) (int, error) {
	switch {
	case c.writer != nil:
		return c.writer.Write(p)
	case c.response.expected:
		return c.writeHeld(p)
	}
	return c.Conn.Write(p)
}

// CloseWrite lets net/http end a response while the client still sends; without it the response could be lost.
func (c *framedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// arrived is how many bytes have arrived and not been read, or are encrypted; 0 if that is not known.
func (c *framedConn) arrived() (n int) {
	conn := c.Conn
	if encrypted, ok := conn.(*tlsConn); ok {
		conn = encrypted.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0
	}
	err = raw.Control(func(fd uintptr) {
		n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) // FIONREAD
	})
	if err != nil {
		return 0
	}
	return n
}

// part is the part of a request that the next bytes belong to.
type part int

const (
	first    part = iota // the connection's first line
	request              // a request line
	header               // a line of the headers
	content              // a body of known length
	size                 // the line with the length of a chunk
	chunk                // its bytes
	chunkEnd             // the line break after them
	trailer              // a line after the last chunk
	opaque               // frames of HTTP/2
)

// framing parses the lengths of the requests on an HTTP/1 connection, without buffering them.
type framing struct {
	at      part
	line    []byte // the current line so far
	left    int64  // bytes left of the body or chunk
	length  string // the value of Content-Length
	lengths int
	coded   bool // has a Transfer-Encoding
	old     bool // not HTTP/1.1
}

// scan parses data. On an error, good is the number of bytes before the end of the ambiguous headers.
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

// take parses a whole line, without its end.
func (f *framing) take(line []byte) error {
	switch f.at {
	case first, request:
		f.begin(line)
	case header:
		if len(line) == 0 {
			return f.endHeaders()
		}
		f.field(line)
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
	case len(line) == 0: // some clients send an extra line break after a body
	default:
		*f = framing{at: header, line: f.line, old: !bytes.HasSuffix(line, []byte(" HTTP/1.1"))}
	}
}

// field notes a header about the body. A folded line is refused, as RFC 9112 section 5.2 allows, and a space before the colon,
// as section 5.1 requires: two readers may see different headers in them.
func (f *framing) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	if !bytes.Equal(name, bytes.TrimSpace(name)) {
		f.coded, f.lengths = true, 1 // refused at the end of the headers
		return
	}
	switch string(bytes.ToLower(name)) {
	case "transfer-encoding":
		f.coded = true
	case "content-length":
		f.lengths++
		f.length = string(bytes.TrimSpace(value))
	}
}

// endHeaders decides which body follows.
func (f *framing) endHeaders() error {
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
	digits, _, _ := bytes.Cut(line, []byte(";")) // an extension may follow
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

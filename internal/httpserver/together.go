package httpserver

import (
	"bytes"
	"net/http"
	"time"
)

// Together has the response that is about to be written sent at once with its header, if it is small. size is the length of its body in
// bytes, which must be its Content-Length; on HTTP/2 its end shows by itself. net/http writes what does not fit into 4 KiB in two parts.
func Together(r *http.Request, size int) {
	c, ok := r.Context().Value(connectionKey{}).(*framedConn)
	switch {
	case !ok:
	case c.writer != nil:
		c.writer.mu.Lock()
		defer c.writer.mu.Unlock()
		c.writer.until = time.Now().Add(holdResponse)
	case r.ProtoMajor == 1 && size < holdSize:
		c.response.size, c.response.expected = size, true
	}
}

// endOfHeader is between the header and the body of a response.
var endOfHeader = []byte("\r\n\r\n")

// heldResponse is a response on HTTP/1 that is being written. What is written of it is held back until it is complete or too large.
type heldResponse struct {
	expected bool
	size     int             // of the body
	block    *[holdSize]byte // nil: nothing is held
	held     []byte          // of block
}

// add adds a part, and returns what is to be written now: nil, or all that was held with the part.
func (h *heldResponse) add(p []byte) []byte {
	if len(h.held)+len(p) > holdSize {
		return append(h.held[:len(h.held):len(h.held)], p...)
	}
	if h.block == nil {
		h.block, _ = holds.Get().(*[holdSize]byte) // never another type
		h.held = h.block[:0]
	}
	h.held = append(h.held, p...)
	if end := bytes.Index(h.held, endOfHeader); end < 0 || len(h.held) < end+len(endOfHeader)+h.size {
		return nil
	}
	return h.held
}

// end ends the response.
func (h *heldResponse) end() {
	if h.block != nil {
		holds.Put(h.block)
	}
	*h = heldResponse{}
}

// writeHeld writes a part of a response that is held back.
func (c *framedConn) writeHeld(p []byte) (int, error) {
	data := c.response.add(p)
	if data == nil {
		return len(p), nil
	}
	defer c.response.end()
	n, err := c.Conn.Write(data)
	return max(0, len(p)-(len(data)-n)), err
}

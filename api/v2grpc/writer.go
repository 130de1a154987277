package v2grpc

import (
	"net/http"
	"time"

	"fovea/api/v2grpc/pb"
)

// writeTimeout is how long a client may take to read a message. It is what package httpserver allows for a byte.
const writeTimeout = time.Minute

// timedWriter is the response of a call. A client that does not read a message in time is cut off: it would hold memory, and its place
// among the requests in flight. Between messages a call may idle. gRPC flushes each message.
type timedWriter struct {
	http.ResponseWriter
	conn    *http.ResponseController
	limit   time.Duration
	once    bool // there is one response, whose deadline need not be cleared
	flushed func()
	writing bool // since the last Flush
}

// Unwrap is for http.ResponseController.
func (w *timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements http.ResponseWriter.
func (w *timedWriter) Write(p []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (w *timedWriter) Flush() {
	w.begin()
	_ = w.conn.Flush() // a client that is gone is noticed by its context
	if w.once {
		return
	}
	w.writing = false
	_ = w.conn.SetWriteDeadline(time.Time{})
	w.flushed()
}

func (w *timedWriter) begin() {
	if !w.writing {
		w.writing = true
		_ = w.conn.SetWriteDeadline(time.Now().Add(w.limit)) // without a connection there is no write to end
	}
}

// sizeOf is the size of a response's tensors in bytes.
func sizeOf(m *pb.ModelInferResponse) (size int) {
	for _, t := range m.GetRawOutputContents() {
		size += len(t)
	}
	return size
}

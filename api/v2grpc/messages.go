package v2grpc

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"fovea/api/v2grpc/pb"
	"fovea/internal/access"
	"fovea/internal/admission"
	"fovea/internal/apierror"
	v2 "fovea/internal/v2"
)

// prefixSize is the length of what precedes a message: whether it is compressed, and its length.
const prefixSize = 5

// streamMessages is how many messages of one stream are worked on at once. Further ones wait in the network.
const streamMessages = 16

// messages is the body of a call. It admits each message, reads it whole within a time limit, and only then gives it to gRPC. A message
// that is refused is replaced by an empty one, whose error the handler asks for: gRPC has no other way to end a call with a status.
type messages struct {
	server *Server
	body   io.Reader
	client *access.Client
	caller access.Caller
	conn   *http.ResponseController
	ctx    context.Context
	stream bool                           // any number of messages
	input  protoreflect.MessageDescriptor // of the messages; nil: unknown
	coding string                         // of compressed messages
	slots  chan struct{}                  // of a stream of requests for inference: taken by messages that are worked on
	shares bool                           // the decoded message refers to the memory of the one that was received

	prefix  []byte // to be returned by Read, before payload
	payload []byte
	buffer  *[]byte // of payload

	mu        sync.Mutex
	count     int // messages read
	held      map[int]*admission.Body
	errs      map[int]error
	written   int                     // responses
	unwritten map[int]*admission.Body // of large responses, by their number among those sent, from 1
	ended     bool                    // the handler is over, or the server drains
	last      error                   // of the last message that was answered
}

type messagesKey struct{}

func newMessages(s *Server, w http.ResponseWriter, r *http.Request) *messages {
	stream := s.isStream(r.URL.Path)
	m := &messages{server: s, body: r.Body, conn: http.NewResponseController(w), stream: stream, input: inputOf(r.URL.Path),
		coding: r.Header.Get("Grpc-Encoding"), held: map[int]*admission.Body{}, errs: map[int]error{}, unwritten: map[int]*admission.Body{}}
	if r.URL.Path == pb.GRPCInferenceService_ModelStreamInfer_FullMethodName {
		m.slots = make(chan struct{}, streamMessages)
	}
	m.ctx = context.WithValue(r.Context(), messagesKey{}, m)
	return m
}

// Read implements io.Reader.
func (m *messages) Read(p []byte) (int, error) {
	if len(m.prefix) == 0 && len(m.payload) == 0 {
		if err := m.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, m.prefix)
	m.prefix = m.prefix[n:]
	more := copy(p[n:], m.payload)
	m.payload = m.payload[more:]
	if len(m.payload) == 0 {
		m.free()
	}
	return n + more, nil
}

// free ends the use of the message that was read. Further calls do nothing.
func (m *messages) free() {
	if m.buffer != nil {
		buffers.Put(m.buffer)
		m.buffer, m.payload = nil, nil
	}
}

// Close implements io.Closer.
func (m *messages) Close() error { return nil }

// next reads the next message. The error is io.EOF, or that of a broken connection.
func (m *messages) next() error {
	if !m.stream && m.count > 0 || m.isEnded() {
		return io.EOF
	}
	if m.slots != nil {
		select {
		case m.slots <- struct{}{}:
		case <-m.ctx.Done():
			return m.ctx.Err()
		}
	}
	prefix := make([]byte, prefixSize)
	if !m.stream {
		if err := m.conn.SetReadDeadline(time.Now().Add(m.server.BodyTimeout)); err != nil {
			return err
		}
	}
	switch _, err := io.ReadFull(m.body, prefix); {
	case errors.Is(err, os.ErrDeadlineExceeded) && m.isEnded():
		return io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		m.refuse(m.failure(err, 0))
		return nil
	case err != nil:
		return err
	}
	length := binary.BigEndian.Uint32(prefix[1:])
	if m.prefix = prefix; int64(length) > m.server.maxMessage {
		m.add(nil)
		return nil // gRPC refuses it
	}
	return m.read(int64(length))
}

// buffers are the memory of messages.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// firstRead is how much memory a message has before more of it arrives, in bytes.
const firstRead = 32 << 10

// read admits a message of a length and reads it.
func (m *messages) read(length int64) error {
	admitted, err := m.server.Admission.Admit(m.client.ID, m.body, length, m.server.BodyTimeout, m.conn, nil)
	if err != nil {
		m.refuse(m.failure(err, 0))
		return m.discard(length)
	}
	m.buffer, _ = buffers.Get().(*[]byte) // never another type
	data := (*m.buffer)[:0]
	for int64(len(data)) < length && err == nil {
		if len(data) == cap(data) {
			data = append(make([]byte, 0, min(length, max(firstRead, 2*int64(cap(data))))), data...)
		}
		var n int
		n, err = admitted.Read(data[len(data):min(int64(cap(data)), length)])
		data = data[:len(data)+n]
	}
	*m.buffer = data
	if int64(len(data)) == length {
		if err = m.take(data, admitted); err == nil {
			return nil
		}
	}
	admitted.Release()
	m.free()
	m.refuse(m.failure(err, int64(len(data))))
	if _, ok := errors.AsType[*admission.FullError](err); ok {
		return m.discard(length - int64(len(data)))
	}
	return nil // what follows of the stream fails
}

// discardTime bounds the reading of the rest of a refused message, so that the next one of the stream can be read.
const discardTime = time.Second

// discard reads the rest of a refused message.
func (m *messages) discard(rest int64) error {
	if err := m.conn.SetReadDeadline(time.Now().Add(discardTime)); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, m.body, rest); err != nil {
		return nil //nolint:nilerr // the refusal is what the client gets; the next read fails
	}
	return m.conn.SetReadDeadline(time.Time{})
}

// add counts a message.
func (m *messages) add(admitted *admission.Body) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if previous := m.held[m.count-1]; m.slots == nil && previous != nil {
		previous.Release()
		delete(m.held, m.count-1)
	}
	if m.held[m.count] = admitted; m.ended && admitted != nil {
		admitted.Release()
	}
	m.count++
}

// refuse replaces a message by an empty one.
func (m *messages) refuse(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errs[m.count] = err
	m.count++
	m.prefix, m.payload = make([]byte, prefixSize), nil
}

// fail notes the error of message i.
func (m *messages) fail(i int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errs[i] = err
}

// failure is the API error of a message that was not read.
func (m *messages) failure(err error, read int64) error {
	err = admission.APIError(err, "message", read, m.server.BodyTimeout)
	if _, ok := errors.AsType[*apierror.Error](err); ok {
		return err
	}
	return apierror.Wrap(apierror.Canceled, err, "the client disconnected")
}

// refused is the error of message i; nil if it was admitted.
func (m *messages) refused(i int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.errs[i]
}

// grow counts bytes that message i takes in memory besides those that were received.
func (m *messages) grow(i int, n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if admitted := m.held[i]; admitted != nil && n > 0 {
		if err := admitted.Grow(n); err != nil {
			return m.failure(err, n)
		}
	}
	return nil
}

// answered ends the admission of the only message of a call, unless its response is large.
func (m *messages) answered(size int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if admitted := m.held[0]; admitted != nil && size < v2.LargeResponse {
		admitted.Release()
		delete(m.held, 0)
	}
}

// done ends the admission of message i of a stream of requests for inference, whose response was the nth to be sent. The admission of a
// large one lasts until it is written, which is after Send has returned.
func (m *messages) done(i, n, size int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch admitted := m.held[i]; {
	case admitted == nil:
	case size >= v2.LargeResponse && m.written < n && !m.ended:
		m.unwritten[n] = admitted
	default:
		admitted.Release()
	}
	delete(m.held, i)
	delete(m.errs, i)
	<-m.slots
}

// flushed notes that a response of a stream was written.
func (m *messages) flushed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.written++
	for n, admitted := range m.unwritten {
		if n <= m.written {
			admitted.Release()
			delete(m.unwritten, n)
		}
	}
}

// end ends the admission of all messages, also of one that is being read.
func (m *messages) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	for _, admitted := range m.held {
		if admitted != nil {
			admitted.Release()
		}
	}
	clear(m.held)
	for _, admitted := range m.unwritten {
		admitted.Release()
	}
	clear(m.unwritten)
}

// result is the HTTP status and the code that belong to the last message that was answered.
func (m *messages) result() (status int, code string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil {
		return http.StatusOK, ""
	}
	e := apierror.From(m.last)
	return e.Code.Status(), string(e.Code)
}

// drain ends a stream after the messages that have been read.
func (m *messages) drain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stream {
		m.ended = true
		_ = m.conn.SetReadDeadline(time.Unix(1, 0)) // without a connection there is no read to end
	}
}

func (m *messages) isEnded() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ended
}

// messagesOf are the messages of a call.
func messagesOf(ctx context.Context) *messages {
	m, _ := ctx.Value(messagesKey{}).(*messages) // every call has them
	return m
}

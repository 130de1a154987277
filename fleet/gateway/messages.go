package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"io"
	"net/http"
	"sync"
	"time"

	"fovea/internal/access"
	"fovea/internal/admission"
	"fovea/internal/apierror"
)

const (
	// prefixSize is the length of what precedes a message of gRPC: whether it is compressed, and its length.
	prefixSize = 5

	// streamMessages is how many messages of one stream may be without an answer. Further ones wait in the network.
	streamMessages = 16

	// reenter is the least time between attempts of a stream's message to enter.
	reenter = 50 * time.Millisecond
)

// errHalted ends the reading for a replica that is to get no more of a stream's messages.
var errHalted = errors.New("the stream moves to another replica")

// messages is what a client sends in a call, as a reader of it. Each message is admitted, as the body of a request is. They are not
// decoded. A stream can be read by one attempt after another: halt ends what one of them reads after a whole message.
//
// It is read by one goroutine at a time.
type messages struct {
	gateway *Gateway
	rc      *requestContext
	route   access.Route
	caller  access.Caller
	src     io.Reader
	conn    *http.ResponseController
	ctx     context.Context // of the call
	stream  bool            // clients may send any number of messages

	slots   chan struct{} // taken by messages without an answer
	settled chan struct{} // has an element after an answer
	pending chan prefix   // a prefix that is being read; nil: none
	reading sync.WaitGroup
	prefix  []byte // of a message that has not entered yet
	head    []byte // what Read returns next
	left    int64  // bytes of the message that are still to be read
	body    *admission.Body
	hash    maphash.Hash
	count   int  // messages so far
	ended   bool // the client sends no more

	deadline time.Time // of the client; zero: none

	mu     sync.Mutex
	open   []*message // without an answer, the oldest first
	within bool       // a message has entered, and its end was not read
	leave  func()     // of the first message, until it has entered
	halted chan struct{}
}

// message is a message without an answer.
type message struct {
	whole    bool   // a replica may have all of it
	sum      uint64 // its hash
	admitted *admission.Body
	leave    func()
}

// prefix is the result of reading one.
type prefix struct {
	data []byte
	err  error
}

func newMessages(g *Gateway, w http.ResponseWriter, r *http.Request, rc *requestContext, route access.Route, leave func()) *messages {
	m := &messages{gateway: g, rc: rc, route: route, caller: access.CallerOf(r), src: r.Body, conn: http.NewResponseController(w), ctx: r.Context(),
		stream: isStream(r.URL.Path), slots: make(chan struct{}, streamMessages), settled: make(chan struct{}, 1), leave: leave, halted: make(chan struct{})}
	if g.poison != nil {
		m.hash.SetSeed(g.poison.seed)
	}
	return m
}

// await waits for the beginning of the next message, so that a client that sends next to nothing occupies no backend; false: none
// follows. The error is errHalted or the call's.
func (m *messages) await() (bool, error) {
	if len(m.head) == 0 {
		if err := m.begin(); errors.Is(err, io.EOF) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	have := len(m.head)
	if n := min(m.left, firstBytes); n > 0 && have == prefixSize {
		m.head = append(make([]byte, 0, have+firstBytes), m.head...)[:have+int(n)]
		for at := have; at < len(m.head); {
			k, err := m.fill(m.head[at:])
			if err != nil {
				return false, err
			}
			at += k
		}
	}
	return true, nil
}

// length is that of a call of one message, whose beginning is there; -1: unknown.
func (m *messages) length() int64 {
	if m.stream || m.count == 0 {
		return -1
	}
	return int64(len(m.head)) + m.left
}

// Read implements io.Reader. It returns io.EOF at the end, or once it is halted.
func (m *messages) Read(p []byte) (int, error) {
	if len(m.head) == 0 && m.left == 0 {
		if err := m.begin(); errors.Is(err, errHalted) {
			return 0, io.EOF
		} else if err != nil {
			return 0, err
		}
	}
	n := copy(p, m.head)
	m.head = m.head[n:]
	if n < len(p) && m.left > 0 {
		k, err := m.fill(p[n:])
		if err != nil {
			return n, err
		}
		n += k
	}
	if len(m.head) == 0 && m.left == 0 {
		if err := m.complete(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// fill reads bytes of a message from the client.
func (m *messages) fill(p []byte) (int, error) {
	n, err := m.body.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	if m.gateway.poison != nil {
		_, _ = m.hash.Write(p[:n])
	}
	switch {
	case m.left == 0, n > 0 && err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// complete notes that the replica gets the last bytes of a message, or refuses it.
func (m *messages) complete() error {
	sum := uint64(0)
	if poison := m.gateway.poison; poison != nil {
		if sum = m.hash.Sum64(); poison.rejects(sum) {
			m.settle(1)
			return apierror.New(apierror.PoisonRequest, "several replicas failed while processing this message; it is refused temporarily")
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.within = false
	if len(m.open) > 0 { // else the replica has answered it already
		last := m.open[len(m.open)-1]
		last.whole, last.sum = true, sum
	}
	return nil
}

// begin waits for the next message, and admits it.
func (m *messages) begin() error {
	if m.ended || !m.stream && m.count > 0 {
		return io.EOF
	}
	if m.prefix == nil {
		data, err := m.nextPrefix()
		if err != nil {
			m.ended = errors.Is(err, io.EOF)
			return err
		}
		m.prefix = data
	}
	if err := m.enter(); err != nil {
		return err
	}
	m.head, m.prefix = m.prefix, nil
	m.left = int64(binary.BigEndian.Uint32(m.head[1:]))
	m.count++
	if m.gateway.poison != nil {
		m.hash.Reset()
		_, _ = m.hash.Write(m.head)
	}
	return nil
}

// nextPrefix reads the prefix of the next message. A client may take any time between the messages of a stream.
func (m *messages) nextPrefix() ([]byte, error) {
	if !m.stream {
		if err := m.conn.SetReadDeadline(time.Now().Add(m.gateway.cfg.BodyTimeout)); err != nil {
			return nil, err
		}
		p := m.readPrefix()
		return p.data, p.err
	}
	if m.pending == nil {
		pending := make(chan prefix, 1)
		m.pending = pending
		m.reading.Go(func() { pending <- m.readPrefix() })
	}
	select {
	case p := <-m.pending:
		m.pending = nil
		return p.data, p.err
	case <-m.halt():
		return nil, errHalted
	case <-m.ctx.Done():
		return nil, m.ctx.Err()
	}
}

func (m *messages) readPrefix() prefix {
	data := make([]byte, prefixSize)
	_, err := io.ReadFull(m.src, data)
	return prefix{data, err}
}

// answered ends the oldest message without an answer.
func (m *messages) answered() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.open) == 0 {
		return // more answers than messages, as reflection of several files may have
	}
	oldest := m.open[0]
	m.open = m.open[1:]
	m.close(oldest)
	select {
	case m.settled <- struct{}{}:
	default:
	}
	if m.gateway.poison != nil && oldest.whole {
		m.gateway.poison.clear(oldest.sum)
	}
}

// settle waits until at most n messages are without an answer: a message that is refused ends the call, and the ones before it are to be
// answered.
func (m *messages) settle(n int) {
	for m.unanswered() > n {
		select {
		case <-m.settled:
		case <-m.halt():
			return
		case <-m.ctx.Done():
			return
		}
	}
}

func (m *messages) unanswered() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open)
}

// close releases what a message holds. The caller holds mu.
func (m *messages) close(one *message) {
	one.admitted.Release()
	one.leave()
	<-m.slots
}

// sums are the hashes of the messages that a replica may be working on.
func (m *messages) sums() (list []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.open {
		if one.whole {
			list = append(list, one.sum)
		}
	}
	return list
}

// idle reports whether all that was read of the client is answered. Nothing may be reading.
func (m *messages) idle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open) == 0 && len(m.head) == 0 && m.left == 0
}

// waits reports whether a replica has a whole message without an answer.
func (m *messages) waits() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open) > 0 && m.open[0].whole
}

// halt returns a channel that is closed when a stream's reader is to end.
func (m *messages) halt() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.halted
}

// stop ends the reading of a stream after the message that is being read.
func (m *messages) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stopped() && m.stream {
		close(m.halted)
	}
}

// stopped is whether halted is closed. The caller holds mu.
func (m *messages) stopped() bool {
	select {
	case <-m.halted:
		return true
	default:
		return false
	}
}

// interrupt ends the reading, also of a message that is being read. The client can send nothing more then.
func (m *messages) interrupt() error {
	m.stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stream && !m.within {
		return nil
	}
	return m.conn.SetReadDeadline(time.Unix(1, 0))
}

// isHalted reports whether the reading of a stream has been stopped.
func (m *messages) isHalted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stopped()
}

// resume lets a stream be read again.
func (m *messages) resume() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		m.halted = make(chan struct{})
	}
}

// follow stops the reading when a backend leaves rotation, until the function that it returns is called.
func (m *messages) follow(b *backend) (unfollow func()) {
	stop := context.AfterFunc(b.leaving, m.stop)
	return func() { stop() }
}

// end ends all reading, and releases what the messages hold.
func (m *messages) end() {
	if m.pending != nil {
		_ = m.conn.SetReadDeadline(time.Unix(1, 0)) // fails if the connection is gone, and the reading has ended
		m.reading.Wait()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.open {
		m.close(one)
	}
	m.open = nil
	m.leave()
	m.leave = func() {}
}

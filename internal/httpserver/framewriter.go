package httpserver

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// More of the parts of HTTP/2 that frameWriter looks at: RFC 9113 sections 6.2 and 6.9.
const (
	headersFrame      = 1
	windowUpdateFrame = 8
	windowUpdateSize  = frameHeaderSize + 4
)

const (
	// holdSize is how much of a connection is held back at most, in bytes.
	holdSize = 16 << 10
	// holdUpdates is how long window updates wait for a response to go with. They are also sent when they are half a window.
	holdUpdates = 20 * time.Millisecond
	// holdResponse is how long the parts of a response wait for its end; see Together. The timer may take holdUpdates.
	holdResponse = time.Millisecond
)

var holds = sync.Pool{New: func() any { return new([holdSize]byte) }}

// frameWriter writes an HTTP/2 connection. net/http writes each update of a window by itself, and the header, the content and the
// trailer of a response. A write takes some 15 µs on a connection within a machine; so what will be followed by more is held back.
type frameWriter struct {
	conn net.Conn

	mu      sync.Mutex
	block   *[holdSize]byte // nil: nothing is held
	held    []byte          // of block
	timer   *time.Timer     // flushes held
	set     bool            // the timer will fire; a timer that is set for each response wakes a thread each time
	at      time.Time       // until when held waits
	updates [2]int          // bytes in the window updates in held: of the connection, and of streams
	until   time.Time       // when a response no longer waits for its end
	frames  frameParser
	again   int // bytes of a write that has failed for its deadline, which are to be written again
	err     error
}

func newFrameWriter(c net.Conn) *frameWriter {
	w := &frameWriter{conn: c}
	w.timer = time.AfterFunc(time.Hour, w.expire)
	w.timer.Stop()
	return w
}

// Write implements io.Writer.
func (w *frameWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	if w.again == 0 && w.mayWait(p) {
		return len(p), nil
	}
	n, err := w.flush(p)
	w.again = len(p) - n
	return n, err
}

// mayWait reports whether p can be held back, and holds it. The caller holds mu.
func (w *frameWriter) mayWait(p []byte) bool {
	wrote, fits := w.frames.scan(p), len(w.held)+len(p) <= holdSize
	for i, n := range wrote.updates {
		w.updates[i] += n
	}
	now := time.Now()
	if wrote.ended {
		w.until = time.Time{}
	}
	switch {
	case !fits:
		return false
	case wrote.onlyUpdates && w.updates[0] < connectionWindow/2 && w.updates[1] < streamWindow/2:
		w.hold(p, now.Add(holdUpdates))
	case now.Before(w.until):
		w.hold(p, w.until)
	default:
		return false
	}
	return true
}

// hold keeps p until a time at the latest. The caller holds mu.
func (w *frameWriter) hold(p []byte, until time.Time) {
	if len(w.held) == 0 || until.Before(w.at) {
		w.at = until
	}
	if !w.set {
		w.set = true
		w.timer.Reset(holdUpdates)
	}
	if w.block == nil {
		w.block, _ = holds.Get().(*[holdSize]byte) // never another type
		w.held = w.block[:0]
	}
	w.held = append(w.held, p...)
}

// expire writes what has waited long enough. The deadline of a write is net/http's next one.
func (w *frameWriter) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.set = false
	if len(w.held) == 0 || w.err != nil {
		return // another write has taken it along
	}
	wait := time.Until(w.at)
	if wait <= 0 {
		_, err := w.flush(nil)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			w.err = err
			return
		}
		wait = holdUpdates
	}
	w.set = true
	w.timer.Reset(wait)
}

// flush writes what is held and p, and returns how much of p it has written. The caller holds mu.
func (w *frameWriter) flush(p []byte) (int, error) {
	var n int64
	var err error
	held := len(w.held)
	if held == 0 {
		var written int
		written, err = w.conn.Write(p)
		n = int64(written)
	} else {
		n, err = (&net.Buffers{w.held, p}).WriteTo(w.conn)
	}
	w.updates = [2]int{}
	if int(n) >= held && w.block != nil {
		holds.Put(w.block)
		w.block, w.held = nil, nil
	}
	if err == nil {
		return len(p), nil
	}
	w.held = w.held[min(len(w.held), int(n)):]
	return max(0, int(n)-held), err
}

// written is what a write has consisted of.
type written struct {
	onlyUpdates bool   // window updates and nothing else
	ended       bool   // the end of a stream
	updates     [2]int // bytes in the window updates: of the connection, and of streams
}

// frameParser finds frames in what is written, in pieces of any size.
type frameParser struct {
	part []byte // of a header
	left int    // bytes of the last frame
}

func (f *frameParser) scan(p []byte) written {
	w := written{onlyUpdates: len(f.part) == 0 && f.left == 0}
	for len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, len(p))
			f.left, p = f.left-n, p[n:]
			continue
		}
		if w.onlyUpdates && len(p) >= windowUpdateSize && p[3] == windowUpdateFrame {
			of := 0
			if binary.BigEndian.Uint32(p[5:]) != 0 {
				of = 1
			}
			w.updates[of] += int(binary.BigEndian.Uint32(p[frameHeaderSize:]))
			p = p[windowUpdateSize:]
			continue
		}
		w.onlyUpdates = false
		n := min(frameHeaderSize-len(f.part), len(p))
		f.part, p = append(f.part, p[:n]...), p[n:]
		if len(f.part) < frameHeaderSize {
			break
		}
		f.left = lengthOf(f.part)
		if kind := f.part[3]; kind != dataFrame && kind != headersFrame || f.part[4]&endStream != 0 {
			w.ended = true // or something else that should not wait
		}
		f.part = f.part[:0]
	}
	return w
}

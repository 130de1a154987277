package logging

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a Queue.
const (
	queueLines = 4096
	queueBytes = 4 << 20
	flushTime  = time.Second // how long Close waits for a reader that has stopped reading
)

// Queue is a writer that never waits: lines are written by a goroutine of its own, in order, and dropped while more than
// its bounds wait, because whoever reads the log has stopped. Each Write is one line. It is safe for concurrent use.
type Queue struct {
	to      io.Writer
	tell    func(dropped uint64) // unless nil, told of lines that were dropped once lines can be written again
	lines   chan []byte
	bytes   atomic.Int64 // that wait
	dropped atomic.Uint64
	done    chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex // held while lines is sent to or closed, neither of which waits
	closed bool
}

// NewQueue starts a queue in front of to. Its owner calls Close.
func NewQueue(to io.Writer) *Queue { return newQueue(to, nil) }

func newQueue(to io.Writer, tell func(uint64)) *Queue {
	q := &Queue{to: to, tell: tell, lines: make(chan []byte, queueLines), done: make(chan struct{})}
	go q.run()
	return q
}

// Write takes a copy of the line, or drops it. It never fails: a log that cannot be written has nowhere to say so.
func (q *Queue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.bytes.Load()+int64(len(line)) > queueBytes {
		q.dropped.Add(1)
		return len(line), nil
	}
	select {
	case q.lines <- append([]byte(nil), line...):
		q.bytes.Add(int64(len(line)))
	default:
		q.dropped.Add(1)
	}
	return len(line), nil
}

// Dropped is how many lines were dropped: because the queue was full, or because they could not be written.
func (q *Queue) Dropped() uint64 { return q.dropped.Load() }

func (q *Queue) run() {
	defer close(q.done)
	told := uint64(0)
	for line := range q.lines {
		_, err := q.to.Write(line)
		q.bytes.Add(-int64(len(line)))
		if err != nil {
			q.dropped.Add(1)
			continue
		}
		if dropped := q.Dropped(); dropped > told && q.tell != nil {
			q.tell(dropped - told)
			told = dropped
		}
	}
}

// Close writes what waits, and gives up after a second. Later lines are dropped. A second call only waits.
func (q *Queue) Close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.lines)
	}
	q.mu.Unlock()
	select {
	case <-q.done:
	case <-time.After(flushTime):
	}
}

// NewQueued is New with a Queue between the logger and w.
func NewQueued(cfg Config, w io.Writer) (*slog.Logger, *Queue) {
	direct := slog.New(handler(cfg, w, isTerminal(w))) // used by the queue's own goroutine alone, which may wait
	q := newQueue(w, func(dropped uint64) {
		direct.Warn("lines of the log were dropped: they could not be written", "lines", dropped)
	})
	return slog.New(handler(cfg, q, isTerminal(w))), q
}

// Last writes the last words of a process to w, and waits no longer than a second for whoever reads them.
func Last(w io.Writer, words ...any) {
	q := NewQueue(w)
	_, _ = fmt.Fprintln(q, words...)
	q.Close()
}

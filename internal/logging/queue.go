package logging

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"fovea/internal/terminal"
)

// Bounds of a Queue.
const (
	queueLines = 4096
	queueBytes = 4 << 20
	flushTime  = time.Second // how long Close waits for a reader that has stopped
)

// Queue is a writer that never blocks: a goroutine writes the lines in order, and lines are dropped while the queue is full
// because the reader of the log has stopped. Each Write is one line. It is safe for concurrent use.
type Queue struct {
	// Text is set where the lines are text for people, not JSON.
	Text bool

	to      io.Writer
	report  func(dropped uint64) // unless nil, called after dropped lines once lines can be written again
	lines   chan []byte
	bytes   atomic.Int64 // in lines
	dropped atomic.Uint64
	done    chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex // held while lines is sent to or closed, neither of which waits
	closed bool
}

// NewQueue returns a queue that writes to to. The caller must close it.
func NewQueue(to io.Writer) *Queue { return newQueue(to, nil) }

func newQueue(to io.Writer, report func(uint64)) *Queue {
	q := &Queue{to: to, report: report, lines: make(chan []byte, queueLines), done: make(chan struct{})}
	go q.run()
	return q
}

// Write queues a copy of the line, or drops it. It never fails.
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

// Dropped returns the number of lines that were dropped because the queue was full or the write failed.
func (q *Queue) Dropped() uint64 { return q.dropped.Load() }

func (q *Queue) run() {
	defer close(q.done)
	reported := uint64(0)
	for line := range q.lines {
		_, err := q.to.Write(line)
		q.bytes.Add(-int64(len(line)))
		if err != nil {
			q.dropped.Add(1)
			continue
		}
		if dropped := q.Dropped(); dropped > reported && q.report != nil {
			q.report(dropped - reported)
			reported = dropped
		}
	}
}

// Close writes the queued lines, for up to a second. Later lines are dropped. A second call only waits.
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

// NewQueued returns a logger that writes to w through a Queue: JSON, or colored text on a terminal. The configuration must be
// valid.
func NewQueued(cfg Config, w io.Writer) (*slog.Logger, *Queue) {
	direct := slog.New(handler(cfg, w, terminal.Is(w), terminal.HasColors(w))) // for the queue's goroutine, which may block
	q := newQueue(w, func(dropped uint64) {
		direct.Warn("log lines dropped", "lines", dropped)
	})
	q.Text = isText(cfg, terminal.Is(w))
	return slog.New(handler(cfg, q, terminal.Is(w), terminal.HasColors(w))), q
}

// Final writes a program's last message to w, and waits up to a second for its reader.
func Final(w io.Writer, message ...any) {
	q := NewQueue(w)
	_, _ = fmt.Fprintln(q, message...)
	q.Close()
}

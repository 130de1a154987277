package loadtest

import (
	"context"
	"errors"
	"sync"
)

// marks are the server's counters at the bounds of the windows: mark 0 is where the first begins, mark n where window n
// ends. They are read beside the load, so that no answer waits for them.
type marks struct {
	scraper scraper
	readers sync.WaitGroup
	list    []*mark
}

type mark struct {
	counters counters
	err      error
}

// mark reads the counters now.
func (m *marks) mark(ctx context.Context) {
	if m.scraper.url == "" {
		return
	}
	one := &mark{}
	m.list = append(m.list, one)
	m.readers.Go(func() { one.counters, one.err = m.scraper.read(ctx) })
}

func (m *marks) wait() { m.readers.Wait() }

// between is what the server counted from one mark to another, when it answered a number of images.
func (m *marks) between(from, to, images int) (*Server, error) {
	m.wait()
	if from >= len(m.list) || to >= len(m.list) {
		return nil, nil // there are no metrics
	}
	before, after := m.list[from], m.list[to]
	if err := errors.Join(before.err, after.err); err != nil {
		return nil, err
	}
	return serverOf(before.counters, after.counters, images), nil
}

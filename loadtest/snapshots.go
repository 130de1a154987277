package loadtest

import (
	"context"
	"errors"
	"sync"
)

// snapshots are the server's counters at the window boundaries: snapshot 0 is the start of the first window, snapshot n
// the end of window n. They are read concurrently with the load, so that no response waits for them.
type snapshots struct {
	scraper scraper
	readers sync.WaitGroup
	list    []*snapshot
}

type snapshot struct {
	counters counters
	err      error
}

// take reads the counters now.
func (s *snapshots) take(ctx context.Context) {
	if s.scraper.url == "" {
		return
	}
	one := &snapshot{}
	s.list = append(s.list, one)
	s.readers.Go(func() { one.counters, one.err = s.scraper.read(ctx) })
}

// between computes the server's figures between two snapshots, with the number of images answered in between. It returns nil if
// there are no metrics.
func (s *snapshots) between(from, to, images int) (*Server, error) {
	s.readers.Wait()
	if from >= len(s.list) || to >= len(s.list) {
		return nil, nil
	}
	before, after := s.list[from], s.list[to]
	if err := errors.Join(before.err, after.err); err != nil {
		return nil, err
	}
	return serverOf(before.counters, after.counters, images), nil
}

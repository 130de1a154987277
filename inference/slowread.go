package inference

import (
	"fmt"
	"time"

	"fovea/internal/repository"
)

// readTimeout is how long reading one model's files, or the list of models, may take. A disk of the network may never
// answer, and such a call cannot be canceled.
const readTimeout = 10 * time.Second

// slowReads are the reads that did not return in time, by what they read. They are left behind, at most one for each
// key, and their results are discarded.
type slowReads struct {
	limit   time.Duration
	pending map[string]chan struct{}
}

// readInTime returns what read returns, or an ErrUnreadable if that takes too long. While an earlier read of the same key
// has not returned, it starts no other. It is not safe for concurrent use.
func readInTime[T any](s *slowReads, key string, read func() T) (result T, err error) {
	timer := time.NewTimer(s.limit)
	defer timer.Stop()
	late := func() (T, error) {
		return *new(T), repository.Unreadable(fmt.Errorf("the file system has not responded within %s", s.limit))
	}
	if earlier := s.pending[key]; earlier != nil {
		select {
		case <-earlier:
			delete(s.pending, key)
		default:
			return late()
		}
	}
	returned := make(chan struct{})
	var got T
	go func() {
		defer close(returned)
		got = read()
	}()
	select {
	case <-returned:
		return got, nil
	case <-timer.C:
		s.pending[key] = returned
		return late()
	}
}

package inference

import (
	"maps"
	"sync"
	"time"
)

// RequestKind is a kind of requests with separate statistics.
type RequestKind int

// The kinds of requests.
const (
	OfTensors RequestKind = iota // Ref.Infer
	OfImages                     // Predict
	requestKinds
)

// Duration is a number of events and their total time.
type Duration struct {
	Count int64
	Time  time.Duration
}

func (d *Duration) add(t time.Duration) {
	d.Count++
	d.Time += t
}

// Statistics count the requests of a version since it was loaded.
type Statistics struct {
	Last          time.Time // of the last request; zero without any
	Rows          int64     // images, or rows of tensors, that were answered
	Runs          int64     // runs that began with one of them
	Success, Fail Duration  // requests, from their begin to their end
	Queue         Duration  // of successful requests, as are the following
	BatchStatistics
	Batches map[int]BatchStatistics // by the rows of the largest run
}

// BatchStatistics are the times of successful requests: decoding and copying; the run; reading the outputs.
type BatchStatistics struct{ Input, Compute, Outputs Duration }

func (b *BatchStatistics) add(t Timing) {
	b.Input.add(t.Decode + t.Preprocess)
	b.Compute.add(t.Infer)
	b.Outputs.add(t.Postprocess)
}

// statistics collects Statistics.
type statistics struct {
	mu     sync.Mutex
	values Statistics
}

// success counts an answered request of some rows, which began runs runs; the largest had size rows.
func (s *statistics) success(rows, runs, size int, total time.Duration, t Timing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &s.values
	v.Last = time.Now()
	v.Rows += int64(rows)
	v.Runs += int64(runs)
	v.Success.add(total)
	v.Queue.add(t.Queue)
	v.add(t)
	if v.Batches == nil {
		v.Batches = map[int]BatchStatistics{}
	}
	b := v.Batches[size]
	b.add(t)
	v.Batches[size] = b
}

// fail counts a request that was not answered.
func (s *statistics) fail(total time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values.Last = time.Now()
	s.values.Fail.add(total)
}

func (s *statistics) read() Statistics {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.values
	v.Batches = maps.Clone(v.Batches)
	return v
}

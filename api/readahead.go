package api

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// slowBody is how long a body holds others up that wait to be read, stalled how long it does while nothing of it arrives,
	// and unready how long when others wait, since what it has to send should be there by then.
	slowBody = 100 * time.Millisecond
	stalled  = 10 * time.Millisecond
	unready  = 3 * time.Millisecond
	// firstBlock is how much of every body is read without waiting, in bytes: what is announced holds nobody up.
	firstBlock = 64 << 10
	// turnsPerCore is how many bodies a core reads beyond their first blocks at once. What they hold when the room is full
	// comes on top of it.
	turnsPerCore = 4
)

// readAhead bounds the bytes of bodies that have come in and whose images are not decoded yet. Those beyond wait in
// the network, where TCP holds their senders back, first come first served: to have more of them in memory would not
// have one image decoded sooner. A body that is slow to arrive stops counting, so that it holds nobody up; the
// server's budget (admission) counts it all the same.
type readAhead struct {
	size int64

	mu      sync.Mutex
	held    int64 // bytes
	turns   int   // free ones
	waiting []chan struct{}
}

func newReadAhead(size int64) *readAhead {
	return &readAhead{size: size, turns: turnsPerCore * runtime.GOMAXPROCS(0)}
}

// enter starts to count a body, which must be left. Its first block need not wait.
func (r *readAhead) enter() *share {
	s := &share{room: r}
	s.slow = time.AfterFunc(slowBody, s.release)
	return s
}

// share is one body's part of what is read ahead. Its lock is the room's.
type share struct {
	room  *readAhead
	slow  *time.Timer
	bytes int64
	turn  bool
	until time.Time // the end of its turn, however much arrives
	over  bool      // it counts no more
}

// begin waits for the turn to read beyond the first block, as long as ctx allows. A slow body needs none. Meanwhile the
// first block doesn't count: if all who wait held the room, nobody would ever go on.
func (s *share) begin(ctx context.Context) error {
	r := s.room
	if !s.slow.Stop() {
		s.release() // the time has come to, and would while this waits, when nobody could tell what it holds
	}
	r.mu.Lock()
	if s.over {
		r.mu.Unlock()
		return nil
	}
	r.held -= s.bytes
	turn := make(chan struct{})
	r.waiting = append(r.waiting, turn)
	r.wake()
	r.mu.Unlock()
	var err error
	select {
	case <-turn:
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held += s.bytes
	if at := slices.Index(r.waiting, turn); at >= 0 {
		r.waiting = slices.Delete(r.waiting, at, at+1)
		return err
	}
	s.turn, s.until = true, time.Now().Add(slowBody)
	s.slow.Reset(unready)
	return nil // also when both came at once: the next wait for the client finds out
}

// tryBegin is begin where nobody has to wait.
func (s *share) tryBegin() bool {
	r := s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.over {
		return true
	}
	if len(r.waiting) > 0 || r.turns == 0 || r.held-s.bytes >= r.size {
		return false
	}
	r.turns--
	s.turn, s.until = true, time.Now().Add(slowBody)
	s.slow.Reset(stalled)
	return true
}

// read counts bytes that have arrived.
func (s *share) read(n int) {
	r := s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.over {
		return
	}
	s.bytes += int64(n)
	r.held += int64(n)
	if s.turn {
		idle := stalled
		if len(r.waiting) > 0 {
			idle = unready
		}
		s.slow.Reset(min(idle, time.Until(s.until)))
	}
}

// arrived says that the body is there: from now on it counts until it is decoded.
func (s *share) arrived() {
	s.slow.Stop()
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	s.giveTurn()
	s.room.wake()
}

// leave gives the share back: its body is decoded, refused or slow. Further calls do nothing.
func (s *share) leave() {
	s.slow.Stop()
	s.release()
}

func (s *share) release() {
	r := s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	r.held -= s.bytes
	s.giveTurn()
	r.wake()
}

func (s *share) giveTurn() {
	if s.turn {
		s.turn = false
		s.room.turns++
	}
}

// wake gives turns to those who wait. The lock is held.
func (r *readAhead) wake() {
	for len(r.waiting) > 0 && r.turns > 0 && r.held < r.size {
		r.turns--
		close(r.waiting[0])
		r.waiting = r.waiting[1:]
	}
}

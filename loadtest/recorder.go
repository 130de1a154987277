package loadtest

import (
	"slices"
	"time"
)

// recorder sorts finished requests into windows until these are stable or their number is exhausted. It has no clock: the
// caller passes the time since the start of the load.
type recorder struct {
	config Config
	limit  time.Duration // of the p99; 0: none

	current *window // nil during the warm-up
	windows []*window
	late    []sample // finished after the last window
	total   tally    // of every request, including warm-up and late responses
	stable  bool
	ended   string // why recording ended; empty: it continues
	now     time.Duration
}

const (
	endedStable      = "stable"
	endedMaxWindows  = "no three windows in a row agreed"
	endedFailing     = "every request fails"
	endedAboveLimit  = "p99 stays above the limit"
	endedLate        = "late responses raise the p99"
	endedInterrupted = "interrupted"
)

// add records a finished request. Requests arrive roughly in the order they finished. It reports whether a window
// began or ended.
func (r *recorder) add(s sample) (windowChanged bool) {
	r.total.add(s)
	windowChanged = r.advance(s.end)
	switch {
	case r.ended != "":
		r.late = append(r.late, s)
	case r.current != nil:
		r.current.add(s)
	}
	return windowChanged
}

// conclude records the requests that were in flight when recording ended. Windows that agree only because they exclude
// the slowest of these are not stable.
func (r *recorder) conclude(inFlight []sample) {
	for _, s := range inFlight {
		r.add(s)
	}
	w, first := r.result()
	tails := []float64{float64(merge(r.windows[first:]).p99()), float64(w.p99())}
	if r.stable && !agree(tails, r.config.Tolerance) {
		r.stable, r.ended = false, endedLate
	}
}

// advance sets the time. It reports whether a window began or ended.
func (r *recorder) advance(now time.Duration) (windowChanged bool) {
	r.now = max(r.now, now)
	now = r.now
	switch {
	case r.ended != "" || now < r.config.Warmup:
		return false
	case r.current == nil:
		r.current = newWindow(now)
		return true
	}
	r.current.end = now
	span := now - r.current.start
	enough := r.current.requests+r.current.failed >= r.config.WindowCount
	if span < r.config.Window || !enough && span < maxStretch*r.config.Window {
		return false
	}
	r.windows = append(r.windows, r.current)
	r.current = newWindow(now)
	r.checkEnd()
	return true
}

// checkEnd decides after a window whether recording ends.
func (r *recorder) checkEnd() {
	switch {
	case stable(r.windows, r.config.Tolerance):
		r.stable, r.ended = true, endedStable
	case r.last(2, func(w *window) bool { return w.images == 0 && w.failed > 0 }):
		r.ended = endedFailing
	case r.limit > 0 && r.last(stableWindows, func(w *window) bool { return w.p99() > r.limit }):
		r.ended = endedAboveLimit
	case len(r.windows) >= r.config.MaxWindows:
		r.ended = endedMaxWindows
	}
}

// last reports whether a condition holds for each of the last n windows.
func (r *recorder) last(n int, holds func(*window) bool) bool {
	first := len(r.windows) - n
	return first >= 0 && !slices.ContainsFunc(r.windows[first:], func(w *window) bool { return !holds(w) })
}

// result merges the last windows into the level's figures, and returns the index of the first of these windows.
// Requests that were due before the windows ended belong to them, however late they finished: otherwise a server that
// hangs would be judged only by what it answers. Of the late responses only failed and slow ones count, since the server
// had less and less to do by then and the fast ones would flatter it.
func (r *recorder) result() (w *window, first int) {
	first = max(0, len(r.windows)-stableWindows)
	w = merge(r.windows[first:])
	slow := w.p99()
	for _, s := range r.late {
		if s.due < w.end && (len(s.failed) > 0 || s.end-s.due > slow) {
			w.addLate(s)
		}
	}
	return w, first
}

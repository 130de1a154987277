package loadtest

import "time"

// meter sorts finished requests into windows until these are stable or too many. It knows no clock: time is what it is
// told.
type meter struct {
	warmup, length time.Duration
	count          int // answers that a window wants
	max            int
	tolerance      float64
	limit          time.Duration // of the p99; 0: none

	current *window // nil while warming up
	windows []*window
	settled bool
	over    string // why nothing more is measured; empty: it goes on
	seen    time.Duration
}

const (
	overStable   = "stable"
	overMax      = "no three windows in a row agreed"
	overFailing  = "every request fails"
	overLimit    = "p99 stays above the limit"
	overCanceled = "interrupted"
)

func newMeter(c Config) *meter {
	return &meter{warmup: c.Warmup, length: c.Window, count: c.WindowCount, max: c.MaxWindows, tolerance: c.Tolerance}
}

// add takes a finished request. Requests come nearly in the order of their ends. It tells whether a window began or
// ended.
func (m *meter) add(s sample) (turned bool) {
	turned = m.advance(s.end)
	if m.current != nil && m.over == "" {
		m.current.add(s)
	}
	return turned
}

// advance says that it is now so late. It tells whether a window began or ended.
func (m *meter) advance(now time.Duration) (turned bool) {
	m.seen = max(m.seen, now)
	now = m.seen
	switch {
	case m.over != "" || now < m.warmup:
		return false
	case m.current == nil:
		m.current = newWindow(now)
		return true
	}
	m.current.end = now
	span := now - m.current.start
	enough := m.current.requests+m.current.failed >= m.count
	if span < m.length || !enough && span < maxStretch*m.length {
		return false
	}
	m.windows = append(m.windows, m.current)
	m.current = newWindow(now)
	m.judge()
	return true
}

// judge tells after a window whether it is over.
func (m *meter) judge() {
	switch {
	case stable(m.windows, m.tolerance):
		m.settled, m.over = true, overStable
	case m.last(2, func(w *window) bool { return w.images == 0 && w.failed > 0 }):
		m.over = overFailing
	case m.limit > 0 && m.last(stableWindows, func(w *window) bool { return w.p99() > m.limit }):
		m.over = overLimit
	case len(m.windows) >= m.max:
		m.over = overMax
	}
}

// last tells whether something is true of the last n windows.
func (m *meter) last(n int, is func(*window) bool) bool {
	if len(m.windows) < n {
		return false
	}
	for _, w := range m.windows[len(m.windows)-n:] {
		if !is(w) {
			return false
		}
	}
	return true
}

// result is the last windows, of which the level's figures are made, and the number of the first of them.
func (m *meter) result() (w *window, first int) {
	first = max(0, len(m.windows)-stableWindows)
	return merge(m.windows[first:]), first
}

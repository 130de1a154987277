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

	current    *window // nil while warming up
	windows    []*window
	stragglers []sample // that finished when it was over
	whole      tally    // of every request, with those of the warm-up and the stragglers
	settled    bool
	over       string // why nothing more is measured; empty: it goes on
	seen       time.Duration
}

const (
	overStable     = "stable"
	overMax        = "no three windows in a row agreed"
	overFailing    = "every request fails"
	overLimit      = "p99 stays above the limit"
	overStragglers = "answers after the last window raise the p99"
	overCanceled   = "interrupted"
)

func newMeter(c Config) *meter {
	return &meter{warmup: c.Warmup, length: c.Window, count: c.WindowCount, max: c.MaxWindows, tolerance: c.Tolerance}
}

// add takes a finished request. Requests come nearly in the order of their ends. It tells whether a window began or
// ended.
func (m *meter) add(s sample) (turned bool) {
	m.whole.add(s)
	turned = m.advance(s.end)
	switch {
	case m.over != "":
		m.stragglers = append(m.stragglers, s)
	case m.current != nil:
		m.current.add(s)
	}
	return turned
}

// conclude takes the requests that were still under way when it was over. Windows that agree only because their slowest
// requests are not among them are not settled.
func (m *meter) conclude(underWay []sample) {
	for _, s := range underWay {
		m.add(s)
	}
	w, first := m.result()
	tails := []float64{float64(merge(m.windows[first:]).p99()), float64(w.p99())}
	if m.settled && !agree(tails, m.tolerance) {
		m.settled, m.over = false, overStragglers
	}
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

// result is the last windows, of which the level's figures are made, and the number of the first of them. Requests that
// were due before these ended belong to them, however late they finished: without those, a server that hangs would only
// be judged by what it answers. Of the answers that came after the windows only the slow ones count, as the server had
// less and less to do by then and the others would flatter it.
func (m *meter) result() (w *window, first int) {
	first = max(0, len(m.windows)-stableWindows)
	w = merge(m.windows[first:])
	slow := w.p99()
	for _, s := range m.stragglers {
		if s.due < w.end && (len(s.failed) > 0 || s.end-s.due > slow) {
			w.addStraggler(s)
		}
	}
	return w, first
}

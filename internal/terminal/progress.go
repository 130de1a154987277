package terminal

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Escape sequences (ECMA-48): erase to the end of the line; clear the screen from its first place.
const (
	eraseLine   = "\r\x1b[K"
	ClearScreen = "\x1b[H\x1b[2J"
)

// redrawEvery is the shortest time between two drawings of a progress.
const redrawEvery = 100 * time.Millisecond

// Progress shows how far a work is, on the last line of a terminal that is not dumb; elsewhere nothing. Its methods are called by one goroutine.
type Progress struct {
	w      io.Writer
	total  int
	what   string // such as images
	active bool
	shown  bool
	start  time.Time
	drawn  time.Time
	now    func() time.Time
	width  func() int
	paint  Paint
}

// NewProgress returns the progress of total things on w.
func NewProgress(w io.Writer, total int, what string) *Progress {
	p := &Progress{w: w, total: total, what: what, active: Is(w) && !isDumb(), now: time.Now, width: func() int { return Width(w) }, paint: PaintOf(w)}
	p.start = p.now()
	return p
}

// Update says how many things are done, and how many of these have failed.
func (p *Progress) Update(done, failed int) {
	if now := p.now(); p.active && done < p.total && now.Sub(p.drawn) >= redrawEvery {
		p.drawn = now
		p.draw(done, failed, now.Sub(p.start))
	}
}

// Say shows a text until there is something else to show.
func (p *Progress) Say(text string) {
	if p.active {
		p.shown = true
		_, _ = io.WriteString(p.w, eraseLine+Cut(text, p.columns()-1))
	}
}

// Skip takes things out of the total that need not be done.
func (p *Progress) Skip(n int) { p.total -= n }

// Begin starts the time that rates are for.
func (p *Progress) Begin() { p.start = p.now() }

// Clear takes the line away, before something else is written to the terminal or at the end.
func (p *Progress) Clear() {
	if p.shown {
		_, _ = io.WriteString(p.w, eraseLine)
		p.shown, p.drawn = false, time.Time{}
	}
}

// columns is the terminal's width, or what is usual if it is unknown.
func (p *Progress) columns() int {
	if width := p.width(); width > 0 {
		return width
	}
	return 80
}

// draw writes the line, within the terminal's width.
func (p *Progress) draw(done, failed int, elapsed time.Duration) {
	width := p.columns()
	text := p.text(done, failed, elapsed)
	bar := ""
	if room := width - 1 - Columns(text) - 3; room >= 8 {
		bar = p.paint.In(Green, Bar(share(done, p.total), min(room, 30))) + "▏ "
	}
	p.shown = true
	_, _ = io.WriteString(p.w, eraseLine+bar+Cut(text, width-1))
}

func share(done, total int) float64 {
	if total == 0 {
		return 0
	}
	return float64(done) / float64(total)
}

// text is what stands next to the bar.
func (p *Progress) text(done, failed int, elapsed time.Duration) string {
	parts := []string{fmt.Sprintf("%s of %s %s", Count(done), Count(p.total), p.what)}
	if done > 0 && elapsed > 0 {
		perSecond := float64(done) / elapsed.Seconds()
		parts = append(parts, Rate(perSecond))
		left := time.Duration(float64(p.total-done) / perSecond * float64(time.Second))
		parts = append(parts, Duration(left)+" left")
	}
	if failed > 0 {
		parts = append(parts, Count(failed)+" failed")
	}
	return strings.Join(parts, " · ")
}

// Count formats a number with commas at thousands.
func Count(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Rate formats a number per second.
func Rate(perSecond float64) string {
	if perSecond < 10 {
		return fmt.Sprintf("%.1f/s", perSecond)
	}
	return fmt.Sprintf("%.0f/s", perSecond)
}

// Duration formats a time in seconds, or from a minute on in the two largest units.
func Duration(d time.Duration) string {
	seconds := int((d + time.Second/2) / time.Second)
	switch {
	case seconds >= 3600:
		return fmt.Sprintf("%d h %02d min", seconds/3600, seconds/60%60)
	case seconds >= 60:
		return fmt.Sprintf("%d min %02d s", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d s", seconds)
}

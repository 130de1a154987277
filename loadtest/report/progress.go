package report

import (
	"fmt"
	"io"
	"strings"

	"fovea/loadtest"
)

// Line shows the progress of a load test: on a terminal as one line that is redrawn, elsewhere as one line per finished
// level.
type Line struct {
	W        io.Writer
	Terminal bool
	Width    func() int // columns of the terminal
}

// Update shows the progress of a level.
func (l Line) Update(p loadtest.Progress) {
	switch {
	case l.Terminal && p.Done:
		fmt.Fprintf(l.W, "\r\x1b[K%s\n", l.cut(text(p)))
	case l.Terminal:
		fmt.Fprintf(l.W, "\r\x1b[K%s", l.cut(text(p)))
	case p.Done:
		fmt.Fprintln(l.W, text(p))
	}
}

// cut limits the line to one row, since a longer one could not be redrawn.
func (l Line) cut(s string) string {
	runes := []rune(s)
	if width := l.Width(); width > 1 && len(runes) >= width {
		return string(runes[:width-1])
	}
	return s
}

func text(p loadtest.Progress) string {
	parts := []string{p.Level.Name()}
	switch {
	case p.Done && p.Level.Stable:
		parts = append(parts, fmt.Sprintf("stable after %d windows", len(p.Level.Windows)))
	case p.Done:
		parts = append(parts, "NOT stable: "+p.Level.Ended)
	case p.Window == 0:
		return parts[0] + " · warming up"
	default:
		parts = append(parts, fmt.Sprintf("window %d of at most %d", p.Window, p.Windows))
	}
	parts = append(parts, number(p.Level.Throughput)+" images/s",
		"p50 "+number(p.Level.Latency.P50MS)+" ms", "p99 "+number(p.Level.Latency.P99MS)+" ms")
	if p.Level.AllFailed() > 0 {
		parts = append(parts, "failed "+failed(p.Level))
	}
	return strings.Join(parts, " · ")
}

package repository

import (
	"fmt"
	"time"
)

// say writes a line about the pull.
func (o PullOptions) say(format string, args ...any) {
	if o.Progress != nil {
		fmt.Fprintf(o.Progress, "%s: %s\n", o.Name, fmt.Sprintf(format, args...))
	}
}

// progress counts bytes and says how far a pull is, at most once a second.
type progress struct {
	say   func(format string, args ...any)
	total int64 // 0: not known
	done  int64
	last  time.Time
}

// Write counts b.
func (p *progress) Write(b []byte) (int, error) {
	p.done += int64(len(b))
	if time.Since(p.last) >= time.Second {
		p.last = time.Now()
		if p.total > 0 {
			p.say("%.1f of %.1f MB, %d%%", megabytes(p.done), megabytes(p.total), 100*p.done/p.total)
		} else {
			p.say("%.1f MB", megabytes(p.done))
		}
	}
	return len(b), nil
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }

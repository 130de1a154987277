package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// download fetches a file into its part and resumes after interruptions.
type download struct {
	root     *os.Root
	part     string
	open     opener
	address  string
	want     want
	limit    int64 // bytes, if the size is unknown
	progress *progress
	tag      string // of the content that the part came from, if it has a strong validator
}

const (
	maxTries       = 5 // in a row without progress
	maxInterrupts  = 1000
	idleTimeout    = 30 * time.Second       // without data
	callTimeout    = 2 * time.Minute        // of a request that does not fetch a file
	initialBackoff = 500 * time.Millisecond // between tries; doubles each time
	maxBackoff     = 10 * time.Second
)

// final is an error that a retry would not fix.
type final struct{ error }

func (f *final) Unwrap() error { return f.error }

// restartError says that the part cannot be resumed.
type restartError struct{ error }

// retry calls try until it succeeds, the error is final, or maxTries have failed in a row without progress. Without progressed each
// try has a deadline.
func retry(ctx context.Context, report func(string, ...any), progressed func() bool, try func(context.Context) error) error {
	wait, failures := initialBackoff, 0
	for range maxInterrupts {
		err := bounded(ctx, progressed == nil, try)
		if err == nil || ctx.Err() != nil || errors.As(err, new(*final)) {
			return err
		}
		if failures++; progressed != nil && progressed() {
			wait, failures = initialBackoff, 0
		}
		if failures >= maxTries {
			return fmt.Errorf("gave up after %d tries: %w", failures, err)
		}
		report("%v; retrying in %v", err, wait)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
		wait = min(2*wait, maxBackoff)
	}
	return fmt.Errorf("gave up after %d interruptions", maxInterrupts)
}

func bounded(ctx context.Context, deadline bool, try func(context.Context) error) error {
	if deadline {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, callTimeout, fmt.Errorf("no response within %v", callTimeout))
		defer cancel()
	}
	return orCause(ctx, try(ctx))
}

// run downloads until the part is complete. Tries that make progress do not count against maxTries.
func (d *download) run(ctx context.Context) error {
	var before int64
	return retry(ctx, d.progress.report, func() bool { return d.have() > before }, func(ctx context.Context) error {
		before = d.have()
		err := d.try(ctx, before)
		if errors.As(err, new(*restartError)) {
			if failed := d.remove(); failed != nil {
				return failed
			}
		}
		return err
	})
}

// have returns the number of bytes in the part.
func (d *download) have() int64 {
	info, err := d.root.Stat(d.part)
	if err != nil {
		return 0
	}
	return info.Size()
}

// try requests what is missing, once.
func (d *download) try(ctx context.Context, have int64) error {
	if have > 0 && d.tag == "" && d.want.sha256 == "" { // nothing would tell a mixture of two files
		if err := d.remove(); err != nil {
			return err
		}
		have = 0
	}
	if d.want.size > 0 && have == d.want.size {
		return nil // interrupted after the last byte; the hash decides
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.progress.stalled = time.AfterFunc(idleTimeout, func() { cancel(fmt.Errorf("no data for %v", idleTimeout)) })
	defer d.progress.stalled.Stop()
	c, err := d.open(ctx, have, d.tag)
	if err != nil {
		return orCause(ctx, err)
	}
	defer c.Close()
	if err := d.check(c, have); err != nil {
		return orCause(ctx, err) // a response may still arrive after the cancellation
	}
	return orCause(ctx, d.save(c))
}

// check decides whether the content continues the part.
func (d *download) check(c *content, have int64) error {
	size := d.want.size
	if c.size >= 0 && size > 0 && c.size != size {
		return &final{fmt.Errorf("it has %d bytes; %s says %d", c.size, d.want.says, size)}
	}
	if c.size > d.limit {
		return &final{fmt.Errorf("it has %d bytes; the limit is %d", c.size, d.limit)}
	}
	if c.at != 0 && (c.at != have || d.tag != "" && c.tag != "" && c.tag != d.tag) {
		return &restartError{errors.New("the file has changed; starting over")}
	}
	return d.saveTag(c.tag)
}

// save writes the content at its offset and truncates the part there first.
func (d *download) save(c *content) error {
	f, err := d.root.OpenFile(d.part, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return &final{err}
	}
	defer f.Close()
	if err := f.Truncate(c.at); err != nil {
		return &final{err}
	}
	size := cmp.Or(d.want.size, max(c.size, 0))
	d.progress.done, d.progress.total, d.progress.last = c.at, size, time.Now() // the first line is after a second
	limit := cmp.Or(size, d.limit)
	n, err := io.Copy(io.MultiWriter(io.NewOffsetWriter(f, c.at), d.progress), io.LimitReader(c, limit-c.at+1))
	if c.at+n > limit {
		return &final{errors.Join(fmt.Errorf("the source sent more than the expected %d bytes", limit), d.remove())}
	}
	if err == nil && size > 0 && c.at+n < size {
		err = io.ErrUnexpectedEOF
	}
	return errors.Join(err, f.Sync())
}

// progress counts bytes and reports them at most once a second.
type progress struct {
	report func(format string, args ...any)
	total  int64 // 0: unknown
	done   int64
	last   time.Time

	stalled *time.Timer // of a download; reset with every write
}

// Write counts b.
func (p *progress) Write(b []byte) (int, error) {
	if p.stalled != nil {
		p.stalled.Reset(idleTimeout)
	}
	p.done += int64(len(b))
	if time.Since(p.last) >= time.Second {
		p.last = time.Now()
		if p.total > 0 {
			p.report("%.1f of %.1f MB, %d%%", megabytes(p.done), megabytes(p.total), 100*p.done/p.total)
		} else {
			p.report("%.1f MB", megabytes(p.done))
		}
	}
	return len(b), nil
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }

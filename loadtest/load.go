package loadtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// request makes vegeta's target of a body. Vegeta gives back no more of it than its URL; so what the result has to know
// is put into the fragment, which HTTP clients never send.
func (p *Plan) request(b body, fragment string) vegeta.Target {
	t := vegeta.Target{Method: http.MethodPost, URL: p.target.URL, Body: b.data, Header: http.Header{}}
	for key, values := range p.config.Header {
		t.Header[key] = values
	}
	t.Header.Set("Content-Type", b.contentType)
	if fragment != "" {
		t.URL += "#" + fragment
	}
	return t
}

// load is a load that is being sent.
type load struct {
	plan     *Plan
	attacker *vegeta.Attacker
	results  <-chan *vegeta.Result
	schedule *schedule // nil: closed loop
	began    time.Time
	stopped  chan struct{}
	close    func()
}

// send begins to send: n requests under way at all times, or rate requests a second if it is above zero. Every load is
// to be measured, which ends it. If ctx ends, so do the requests under way.
func (p *Plan) send(ctx context.Context, concurrency int, rate float64) *load {
	workers := concurrency
	l := &load{plan: p, stopped: make(chan struct{})}
	var pacer vegeta.Pacer = vegeta.Rate{}
	if rate > 0 {
		workers = p.config.MaxInFlight
		l.schedule = newSchedule(p.config.Arrivals, rate, p.config.Seed, workers, l.stopped)
		pacer = l.schedule
	}
	client, closeIdle := newClient(ctx, workers, p.config.Timeout)
	l.close = closeIdle
	first := uint64(min(workers, max(concurrency, 1)))
	l.attacker = vegeta.NewAttacker(vegeta.Client(client), vegeta.Workers(first), vegeta.MaxWorkers(uint64(workers)))
	l.began = time.Now()
	l.results = l.attacker.Attack(l.targets(), pacer, 0, "")
	return l
}

func (l *load) targets() vegeta.Targeter {
	var next atomic.Uint64
	made := make([]vegeta.Target, len(l.plan.bodies))
	for i, b := range l.plan.bodies {
		made[i] = l.plan.request(b, "")
	}
	return func(t *vegeta.Target) error {
		i := (next.Add(1) - 1) % uint64(len(made))
		*t = made[i]
		t.URL += "#" + strconv.FormatUint(i, 10)
		if l.schedule != nil {
			due := l.schedule.began.Add(<-l.schedule.due).Sub(l.began)
			t.URL += "," + strconv.FormatInt(due.Nanoseconds(), 10)
		}
		return nil
	}
}

// sample judges a result of vegeta.
func (l *load) sample(r *vegeta.Result) (sample, error) {
	_, fragment, _ := strings.Cut(r.URL, "#")
	index, due, open := strings.Cut(fragment, ",")
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(l.plan.bodies) {
		return sample{}, fmt.Errorf("vegeta gave back the URL %q, which was not sent", r.URL)
	}
	b := l.plan.bodies[i]
	s := sample{sent: r.Timestamp.Sub(l.began), failed: l.plan.checker.failures(b, int(r.Code), r.Error, r.Body)}
	s.end, s.due = s.sent+r.Latency, s.sent
	s.images = len(b.images) - len(s.failed)
	if open {
		at, err := strconv.ParseInt(due, 10, 64)
		if err != nil {
			return sample{}, fmt.Errorf("vegeta gave back the URL %q, which was not sent", r.URL)
		}
		s.due = min(time.Duration(at), s.sent)
	}
	return s, nil
}

// measure feeds the meter until it is over or ctx ends, and ends the load. Turned is called when a window begins or ends,
// from this goroutine.
func (l *load) measure(ctx context.Context, m *meter, turned, progress func()) error {
	err := l.watch(ctx, m, turned, progress)
	underWay, failure := l.stop()
	switch {
	case ctx.Err() != nil: // requests under way were ended, and tell nothing
		m.settled, m.over = false, overCanceled
		return ctx.Err()
	case err != nil || failure != nil:
		return errors.Join(err, failure)
	}
	m.conclude(underWay)
	return nil
}

// stop ends the load and waits for the requests under way, each at most for the time-out.
func (l *load) stop() (underWay []sample, err error) {
	close(l.stopped)
	l.attacker.Stop()
	for r := range l.results {
		s, failure := l.sample(r)
		if failure != nil {
			err = failure
			continue // so that the load ends
		}
		underWay = append(underWay, s)
	}
	l.close()
	return underWay, err
}

// watch feeds the meter until it is over or ctx ends.
func (l *load) watch(ctx context.Context, m *meter, turned, progress func()) error {
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for m.over == "" {
		var changed bool
		select {
		case r, ok := <-l.results:
			if ctx.Err() != nil {
				continue // it may have failed for that
			}
			if !ok {
				return fmt.Errorf("the load ended by itself after %s", time.Since(l.began).Round(time.Millisecond))
			}
			s, err := l.sample(r)
			if err != nil {
				return err
			}
			changed = m.add(s)
		case <-tick.C:
			changed = m.advance(time.Since(l.began))
			progress()
		case <-ctx.Done():
			return ctx.Err()
		}
		if changed {
			turned()
		}
	}
	return nil
}

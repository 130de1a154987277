package loadtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// request makes a vegeta target.
func (p *Plan) request(b body) vegeta.Target {
	t := vegeta.Target{Method: http.MethodPost, URL: p.target.URL, Body: b.data, Header: http.Header{}}
	maps.Copy(t.Header, p.config.Header)
	maps.Copy(t.Header, b.header)
	t.Header.Set("Content-Type", b.contentType)
	return t
}

// load is a running load.
type load struct {
	plan     *Plan
	attacker *vegeta.Attacker
	results  <-chan *vegeta.Result
	schedule *schedule // nil: closed loop
	began    time.Time
	stopped  chan struct{}
	close    func()
}

// send starts a load: concurrency requests in flight at all times, or rate requests per second if rate is positive. The
// caller must call measure, which ends the load. When ctx ends, requests in flight are canceled.
func (p *Plan) send(ctx context.Context, concurrency int, rate float64) *load {
	workers := concurrency
	l := &load{plan: p, stopped: make(chan struct{})}
	var pacer vegeta.Pacer = vegeta.Rate{}
	if rate > 0 {
		workers = p.config.MaxInFlight
		l.schedule = newSchedule(p.config.Arrivals, rate, p.config.Seed, workers, l.stopped)
		pacer = l.schedule
	}
	client, closeIdle := newClient(ctx, workers, p.config.Timeout, p.link, p.checker.grpc)
	l.close = closeIdle
	first := uint64(min(workers, max(concurrency, 1)))
	l.attacker = vegeta.NewAttacker(vegeta.Client(client), vegeta.Workers(first), vegeta.MaxWorkers(uint64(workers)))
	l.began = time.Now()
	l.results = l.attacker.Attack(l.targets(), pacer, 0, "")
	return l
}

// targets returns the requests in turn. Vegeta's results contain only a request's URL, so whatever judge needs goes into the
// fragment, which HTTP clients never send.
func (l *load) targets() vegeta.Targeter {
	var next atomic.Uint64
	made := make([]vegeta.Target, len(l.plan.bodies))
	for i, b := range l.plan.bodies {
		made[i] = l.plan.request(b)
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

// judge checks a result of vegeta.
func (l *load) judge(r *vegeta.Result) (sample, error) {
	_, fragment, _ := strings.Cut(r.URL, "#")
	index, due, open := strings.Cut(fragment, ",")
	i, err := strconv.Atoi(index)
	at := int64(math.MaxInt64)
	if open && err == nil {
		at, err = strconv.ParseInt(due, 10, 64)
	}
	if err != nil || i < 0 || i >= len(l.plan.bodies) {
		return sample{}, fmt.Errorf("vegeta returned the URL %q, which was not sent", r.URL)
	}
	b := l.plan.bodies[i]
	s := sample{sent: r.Timestamp.Sub(l.began), failed: l.plan.checker.failures(b, int(r.Code), r.Error, r.Body)}
	s.end, s.due = s.sent+r.Latency, min(time.Duration(at), s.sent)
	s.images = len(b.images) - len(s.failed)
	return s, nil
}

// measure feeds the recorder until it has ended or ctx ends, and then ends the load. It calls onWindow whenever a window
// begins or ends, and onProgress periodically.
func (l *load) measure(ctx context.Context, r *recorder, onWindow, onProgress func()) error {
	err := l.watch(ctx, r, onWindow, onProgress)
	inFlight, stopErr := l.stop()
	switch {
	case ctx.Err() != nil: // requests in flight were canceled and mean nothing
		r.stable, r.ended = false, endedInterrupted
		return ctx.Err()
	case err != nil || stopErr != nil:
		return errors.Join(err, stopErr)
	}
	r.conclude(inFlight)
	return nil
}

// stop ends the load and waits for the requests in flight, each at most for the timeout.
func (l *load) stop() (inFlight []sample, err error) {
	close(l.stopped)
	l.attacker.Stop()
	for r := range l.results {
		s, judgeErr := l.judge(r)
		if judgeErr != nil {
			err = judgeErr
			continue // drain the results, so that the load ends
		}
		inFlight = append(inFlight, s)
	}
	l.close()
	return inFlight, err
}

// watch feeds the recorder until it has ended or ctx ends.
func (l *load) watch(ctx context.Context, r *recorder, onWindow, onProgress func()) error {
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for r.ended == "" {
		var windowChanged bool
		select {
		case result, ok := <-l.results:
			if ctx.Err() != nil {
				continue // possibly canceled
			}
			if !ok {
				return fmt.Errorf("the load ended unexpectedly after %s", time.Since(l.began).Round(time.Millisecond))
			}
			s, err := l.judge(result)
			if err != nil {
				return err
			}
			windowChanged = r.add(s)
		case <-tick.C:
			windowChanged = r.advance(time.Since(l.began))
			onProgress()
		case <-ctx.Done():
			return ctx.Err()
		}
		if windowChanged {
			onWindow()
		}
	}
	return nil
}

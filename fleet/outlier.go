package fleet

import (
	"fmt"
	"time"

	"fovea/fleet/gateway"
)

const (
	trafficEvery = 500 * time.Millisecond // how often it is looked how requests end

	// littleLoad is how many requests a replica has in flight at most when its load cannot be why a prediction fails.
	lightLoadRequests = 2

	// outlierFailures is how many requests a replica fails, one after the other, before it is replaced although it answers
	// the supervisor's own predictions; others must have answered as many, and of theirs wellShare in all. Were every second
	// request one that fails everywhere, or for load, this would be met once in 100 million times.
	outlierFailures = 20
	wellShare       = 0.8
)

// record is how a replica's predictions ended, requests and the supervisor's own.
type record struct {
	good, bad int64 // in all
	gateway   gateway.Status

	lastGood       time.Duration // 0: none yet
	late           int           // own predictions without an answer in time, since the last that ended well, of either kind
	lightLoad      bool          // each of those met little load
	failed         int           // requests that failed since one ended well
	since          time.Duration // of the first of late and failed
	others         [2]int64      // good and bad ones of the other replicas until then
	canarySentAt   time.Duration // the last own prediction
	canarySentLoad int           // requests in flight then
}

// trafficked takes how requests ended.
func (m *machine) observeTraffic(o traffic) {
	for _, r := range m.replicas() {
		for _, s := range o.replicas {
			if s.ID == r.id && s.URL == r.url {
				r.traffic(s)
			}
		}
	}
}

// traffic takes how the requests ended that the gateway gave it.
func (r *replica) traffic(s gateway.Status) {
	before := r.record.gateway
	if s.Good < before.Good || s.Bad < before.Bad {
		before = gateway.Status{} // The gateway knows it anew.
	}
	r.record.gateway = s
	good, bad := s.Good-before.Good, s.Bad-before.Bad
	r.record.good, r.record.bad = r.record.good+good, r.record.bad+bad
	switch {
	case good > 0:
		r.record.failed = 0
		r.noteSuccess()
	case bad > 0:
		r.noteFailure()
		r.record.failed += int(bad)
	}
	if r.state != Ready {
		return
	}
	if s.State == gateway.Silent && r.placement.m.others(r) > 0 {
		r.reason = "it owes answers, and gives no sign of life"
		r.probeDue = r.now()
		r.markUnready()
		return
	}
	if r.record.failed >= r.placement.m.cfg.Health.Failures { // What does it say to a prediction of the supervisor's own?
		r.canaryDue = min(r.canaryDue, r.record.canarySentAt+r.placement.m.cfg.Health.Interval)
	}
	if r.record.failed >= outlierFailures && r.othersSucceed(outlierFailures) {
		r.end(endFailure, fmt.Sprintf("failed %d requests, one after the other, while other replicas answer theirs", r.record.failed))
	}
}

// worked notes that a prediction ended well.
func (r *replica) noteSuccess() {
	r.record.lastGood, r.record.late, r.record.lightLoad = r.now(), 0, true
	if r.record.failed == 0 {
		r.record.since = 0
	}
}

// suspect notes when the first prediction failed after one that ended well, and how the others did until then.
func (r *replica) noteFailure() {
	if r.record.since == 0 {
		r.record.since = r.now()
		r.record.others[0], r.record.others[1] = r.placement.m.tally(r)
	}
}

// tally counts how the predictions of all ready replicas but one ended.
func (m *machine) tally(but *replica) (good, bad int64) {
	for _, r := range m.replicas() {
		if r != but && r.state == Ready {
			good, bad = good+r.record.good, bad+r.record.bad
		}
	}
	return good, bad
}

// others counts the ready replicas but one.
func (m *machine) others(but *replica) int {
	n := 0
	for _, r := range m.replicas() {
		if r != but && r.state == Ready {
			n++
		}
	}
	return n
}

// othersDoWell tells whether the other replicas answered at least so many predictions since this one's began to fail, and
// failed few. Overload fails everywhere.
func (r *replica) othersSucceed(least int64) bool {
	good, bad := r.placement.m.tally(r)
	good, bad = good-r.record.others[0], bad-r.record.others[1]
	if good < 0 || bad < 0 { // One that was counted is gone.
		r.record.others[0], r.record.others[1] = r.placement.m.tally(r)
		return false
	}
	return good >= least && float64(good) >= wellShare*float64(good+bad)
}

// tooLate takes a prediction of the supervisor's own that had no answer in time, or one that says so. Load can be why: then
// requests are answered meanwhile, or the other replicas do no better.
func (r *replica) canaryLate(reason string) {
	if r.record.lastGood > r.record.canarySentAt {
		return
	}
	r.noteFailure()
	r.record.late++
	r.record.bad++
	r.record.lightLoad = r.record.lightLoad && max(r.record.canarySentLoad, r.record.gateway.InFlight) <= lightLoadRequests
	health := r.placement.m.cfg.Health
	text := fmt.Sprintf("says that it is ready, and did not answer %d predictions in time: %s", r.record.late, reason)
	switch {
	case r.record.lightLoad && r.record.late >= health.Failures:
		r.end(endFailure, text)
	case r.record.late+r.record.failed >= health.Failures && r.othersSucceed(int64(health.Failures)):
		r.end(endFailure, text)
	case r.now()-r.record.since >= health.Unready && r.placement.m.others(r) == len(r.placement.m.placements)-1:
		r.end(endUnresponsive, text+"; nothing else either")
	}
}

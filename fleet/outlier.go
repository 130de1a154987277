package fleet

import (
	"fmt"
	"time"

	"fovea/fleet/gateway"
)

const (
	trafficEvery = 500 * time.Millisecond // how often the gateway's counters are read

	// lightLoadRequests is the number of requests in flight up to which load cannot explain a failed canary.
	lightLoadRequests = 2

	// outlierFailures is the number of consecutive failed requests after which a replica is replaced even if it answers
	// canaries. The other replicas must have answered as many meanwhile, and at least successShare of all of theirs. If
	// every second request failed everywhere, by chance or load, this would be met once in 100 million times.
	outlierFailures = 20
	successShare    = 0.8
)

// record counts how a replica's predictions ended: client requests and canaries.
type record struct {
	good, bad int64 // total
	gateway   gateway.Status

	lastGood       time.Duration // 0: never
	late           int           // canaries without a response in time since the last success
	lightLoad      bool          // all of them were sent under light load
	failed         int           // consecutive failed requests
	since          time.Duration // time of the first failure among late and failed
	others         [2]int64      // good and bad predictions of the other replicas until then
	canarySentAt   time.Duration // last canary
	canarySentLoad int           // requests in flight then
}

// apply applies the gateway's counters.
func (o traffic) apply(m *machine) {
	for _, r := range m.replicas() {
		for _, s := range o.replicas {
			if s.ID == r.id && s.URL == r.url {
				r.traffic(s)
			}
		}
	}
}

// traffic applies the counters of the replica's requests.
func (r *replica) traffic(s gateway.Status) {
	before := r.record.gateway
	if s.Good < before.Good || s.Bad < before.Bad {
		before = gateway.Status{} // The gateway has a new backend for it.
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
	if s.State == gateway.Unresponsive && len(r.m.serving()) > 1 {
		r.reason = "unresponsive: requests are pending and it shows no sign of life"
		r.probeDue = r.now()
		r.markUnready()
		return
	}
	if r.record.failed >= r.m.cfg.Health.Failures { // Send a canary soon.
		r.canaryDue = min(r.canaryDue, r.record.canarySentAt+r.m.cfg.Health.Interval)
	}
	if r.record.failed >= outlierFailures && r.othersSucceed(outlierFailures) {
		r.end(endFailure, fmt.Sprintf("failed %d consecutive requests while other replicas answered theirs", r.record.failed))
	}
}

// noteSuccess records a successful prediction.
func (r *replica) noteSuccess() {
	r.record.lastGood, r.record.late, r.record.lightLoad = r.now(), 0, true
	if r.record.failed == 0 {
		r.record.since = 0
	}
}

// noteFailure records the first failure after a success, and the other replicas' counters at that time.
func (r *replica) noteFailure() {
	if r.record.since == 0 {
		r.record.since = r.now()
		r.record.others[0], r.record.others[1] = r.m.tally(r)
	}
}

// tally counts the good and bad predictions of all ready replicas except one.
func (m *machine) tally(but *replica) (good, bad int64) {
	for _, r := range m.serving() {
		if r != but {
			good, bad = good+r.record.good, bad+r.record.bad
		}
	}
	return good, bad
}

// othersSucceed reports whether the other replicas have answered at least minimum predictions since this one's began to
// fail, and failed few. Under overload all of them fail.
func (r *replica) othersSucceed(minimum int64) bool {
	good, bad := r.m.tally(r)
	good, bad = good-r.record.others[0], bad-r.record.others[1]
	if good < 0 || bad < 0 { // A replica that was counted is gone.
		r.record.others[0], r.record.others[1] = r.m.tally(r)
		return false
	}
	return good >= minimum && float64(good) >= successShare*float64(good+bad)
}

// canaryLate applies a canary without a response in time. Load can be the reason: then requests succeed meanwhile, or
// the other replicas do no better.
func (r *replica) canaryLate(reason string) {
	if r.record.lastGood > r.record.canarySentAt {
		return
	}
	r.noteFailure()
	r.record.late++
	r.record.bad++
	r.record.lightLoad = r.record.lightLoad && max(r.record.canarySentLoad, r.record.gateway.InFlight) <= lightLoadRequests
	health := r.m.cfg.Health
	text := fmt.Sprintf("ready, but %d predictions failed or timed out: %s", r.record.late+r.record.failed, reason)
	switch {
	case r.record.lightLoad && r.record.late >= health.Failures:
		r.end(endFailure, text)
	case r.record.late+r.record.failed >= health.Failures && r.othersSucceed(int64(health.Failures)):
		r.end(endFailure, text)
	case r.now()-r.record.since >= health.Unready && len(r.m.serving()) == len(r.m.placements):
		r.end(endUnresponsive, text+"; no other prediction succeeded either")
	}
}

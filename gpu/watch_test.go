package gpu

import (
	"context"
	"errors"
	"testing"
	"time"

	"fovea/gpu/simnvml"
)

// next takes events until one of a kind and returns it with those before it.
func next(t *testing.T, events <-chan Event, kind Kind) (Event, []Event) {
	t.Helper()
	var before []Event
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("the watch ended; waiting for %q after %v", kind, before)
			}
			if e.Kind == kind {
				return e, before
			}
			before = append(before, e)
		case <-time.After(testTimeout):
			t.Fatalf("no event %q after %v", kind, before)
		}
	}
}

// watch begins a watch and waits until it receives events.
func watch(t *testing.T, n *NVML) <-chan Event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	events := n.Watch(ctx)
	if _, before := next(t, events, KindWatching); len(before) > 0 {
		t.Fatalf("before the watch began: %v", before)
	}
	return events
}

func TestXID(t *testing.T) {
	f := simnvml.New(t, merged(simnvml.Machine(2), map[string]string{"gpu1.event.1": "xid 13"})) // past: must not come
	f.Delete("gpu1.recovery")
	events := watch(t, open(t, f))
	for i, c := range []struct {
		event  string
		kind   Kind
		xid    int
		class  Class
		gi, ci *int
	}{
		{"xid 31", KindXID, 31, ClassApplication, nil, nil},
		{"xid 13 gi 2 ci 0", KindXID, 13, ClassApplication, ptr(2), ptr(0)},
		{"xid 79", KindXID, 79, ClassOutOfService, nil, nil},
		{"xid 48", KindXID, 48, ClassReset, nil, nil},
		{"xid 63", KindXID, 63, ClassInformation, nil, nil},
		{"xid 999", KindXID, 999, ClassUnknown, nil, nil},
		{"dbe", KindECC, 0, ClassReset, nil, nil},
		{"sbe", KindECCCorrected, 0, ClassInformation, nil, nil},
	} {
		f.Set("gpu1.event."+string(rune('2'+i)), c.event)
		e, before := next(t, events, c.kind)
		if len(before) > 0 {
			t.Errorf("%s: events before it: %v", c.event, before)
		}
		if e.XID != c.xid || e.Class != c.class || e.Index != 1 || e.UUID != simnvml.UUID(1) || e.ByDriver || e.Recovery != nil ||
			e.Missed != 0 || e.Err != nil || e.Time.IsZero() || !same(e.GPUInstance, c.gi) || !same(e.ComputeInstance, c.ci) {
			t.Errorf("%s: %+v", c.event, e)
		}
	}
}

func same(a, b *int) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

func TestRecoveryActionOverridesTheTable(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(1))
	n := open(t, f, WithPoll(time.Hour))
	events := watch(t, n)
	for i, c := range []struct {
		event, action string
		class         Class
		byDriver      bool
	}{
		{"xid 109", "1", ClassReset, true},       // an application's fault by the table
		{"xid 119", "0", ClassApplication, true}, // out of service by the table
		{"xid 31", "2", ClassOutOfService, true},
		{"xid 999", "4", ClassReset, true},
		{"xid 63", "0", ClassInformation, false},
		{"xid 95", "99", ClassOutOfService, false}, // an action that Fovea does not know says nothing
		{"recovery", "1", ClassReset, true},
	} {
		f.Set("gpu0.recovery", c.action, "gpu0.event."+string(rune('1'+i)), c.event)
		kind := KindXID
		if c.event == "recovery" {
			kind = KindRecoveryAction
		}
		if e, _ := next(t, events, kind); e.Class != c.class || e.ByDriver != c.byDriver || e.Recovery == nil {
			t.Errorf("%s with action %s: %+v", c.event, c.action, e)
		}
	}
}

func TestGPULostAndBack(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(2))
	n := open(t, f, WithPoll(50*time.Millisecond))
	events := watch(t, n)
	f.Set("gpu1.lost", "1", "gpu1.event.1", "xid 79")

	xid, before := next(t, events, KindXID)
	if xid.XID != 79 || xid.Class != ClassOutOfService {
		t.Errorf("the XID: %+v", xid)
	}
	if len(before) == 0 { // else a poll saw it first
		before = append(before, Event{})
		before[0], _ = next(t, events, KindLost)
	}
	if e := before[0]; e.Kind != KindLost || e.Index != 1 || e.UUID != simnvml.UUID(1) || e.Class != ClassOutOfService || !errors.Is(e.Err, ErrLost) {
		t.Errorf("lost: %+v", e)
	}
	next(t, events, KindWatching) // without the lost one
	f.Set("gpu0.event.1", "xid 31")
	if e, before := next(t, events, KindXID); e.Index != 0 || e.XID != 31 {
		t.Errorf("an event of the other GPU: %+v after %v", e, before)
	}
	f.Delete("gpu1.lost")
	if e, before := next(t, events, KindRecovered); e.Index != 1 || len(before) > 0 {
		t.Errorf("back: %+v after %v", e, before)
	}
	next(t, events, KindWatching) // with it again
	f.Set("gpu1.event.2", "xid 43")
	if e, _ := next(t, events, KindXID); e.Index != 1 || e.XID != 43 {
		t.Errorf("an event of the GPU that is back: %+v", e)
	}
}

func TestGPUThatFailsWithoutAnEvent(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(2))
	n := open(t, f, WithPoll(20*time.Millisecond), withTimeout(2*time.Second))
	events := watch(t, n)
	f.Set("gpu0.recovery", "1")
	if e, _ := next(t, events, KindNeedsRepair); e.Index != 0 || e.Class != ClassReset || !errors.Is(e.Err, ErrNeedsRepair) {
		t.Errorf("needs repair: %+v", e)
	}
	f.Set("gpu0.error", "999")
	if e, _ := next(t, events, KindFailed); e.Index != 0 || e.Class != ClassUnknown || e.Err == nil {
		t.Errorf("failed: %+v", e)
	}
	f.Set("gpu0.error", "0", "gpu0.recovery", "0")
	next(t, events, KindRecovered)
	f.Set("gpu0.hang", "600")
	if e, _ := next(t, events, KindUnresponsive); e.Index != 0 || !errors.Is(e.Err, ErrUnresponsive) {
		t.Errorf("hangs: %+v", e)
	}
	f.Set("gpu1.event.1", "xid 45") // the other's events still come
	if e, _ := next(t, events, KindXID); e.Index != 1 {
		t.Errorf("event: %+v", e)
	}
	f.Delete("gpu0.hang")
	next(t, events, KindRecovered)
}

func TestWatchRegistersAgain(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(1))
	n := open(t, f)
	events := watch(t, n)
	f.Set("events.error", "999")
	if e, _ := next(t, events, KindInterrupted); e.Index != -1 || e.Err == nil {
		t.Errorf("interrupted: %+v", e)
	}
	f.Delete("events.error")
	next(t, events, KindWatching)
	f.Set("gpu0.event.1", "xid 13")
	if e, _ := next(t, events, KindXID); e.XID != 13 {
		t.Errorf("after the registration: %+v", e)
	}
}

func TestWatchOfAHungDriver(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(1))
	n := open(t, f, withTimeout(time.Second), WithPoll(50*time.Millisecond))
	events := watch(t, n)
	f.Set("hang", "600")
	next(t, events, KindInterrupted)
	f.Delete("hang")
	next(t, events, KindWatching)
	f.Set("gpu0.event.1", "xid 13")
	next(t, events, KindXID)
}

func TestWatchWithoutEvents(t *testing.T) {
	f := simnvml.New(t, merged(simnvml.Machine(1), map[string]string{"gpu0.events": "0"}))
	n := open(t, f, WithPoll(20*time.Millisecond))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	events := n.Watch(ctx)
	if e, _ := next(t, events, KindInterrupted); e.Err == nil || e.Err.Error() != "no GPU reports events" {
		t.Errorf("interrupted: %v", e.Err)
	}
	f.Set("gpu0.lost", "1") // found by asking
	next(t, events, KindLost)
}

func TestHungGPUDoesNotSilenceTheOther(t *testing.T) {
	f := simnvml.New(t, simnvml.Machine(2))
	n := open(t, f, withTimeout(2*time.Second), WithPoll(50*time.Millisecond))
	inventory(t, n)
	f.Set("gpu0.hang", "600")
	events := n.Watch(t.Context())
	next(t, events, KindWatching) // GPU 1 alone
	f.Set("gpu1.event.1", "xid 13")
	if e, _ := next(t, events, KindXID); e.Index != 1 {
		t.Errorf("event: %+v", e)
	}
	f.Delete("gpu0.hang")
	next(t, events, KindWatching) // both; KindRecovered comes before it only if a poll came between the registration and here
	f.Set("gpu0.event.1", "xid 31")
	if e, _ := next(t, events, KindXID); e.Index != 0 {
		t.Errorf("event: %+v", e)
	}
}

// No GPU is polled between the registration and the first poll.
func TestGPUThatRecoversBeforeTheFirstPoll(t *testing.T) {
	for name, c := range map[string]struct {
		key, value string
		known      bool // its UUID was read before
	}{
		"hangs":                    {"gpu0.hang", "600", true},
		"hangs from the start":     {"gpu0.hang", "600", false},
		"is lost":                  {"gpu0.lost", "1", true},
		"is lost from the start":   {"gpu0.lost", "1", false},
		"must be reset":            {"gpu0.error", "16", true},
		"returns an unknown error": {"gpu0.error", "999", true},
	} {
		t.Run(name, func(t *testing.T) {
			f := simnvml.New(t, simnvml.Machine(2))
			n := open(t, f, withTimeout(time.Second))
			if c.known {
				inventory(t, n)
			}
			l, done := n.watchExecutor()
			defer done()
			w := &watcher{n: n, out: make(outbox, eventBuffer), executor: l, states: map[int]Kind{}}
			defer w.unregister()
			f.Set(c.key, c.value)
			w.register(t.Context())
			f.Delete(c.key)
			eventually(t, "GPU 0 answers", func() bool { return n.ping(t.Context(), 0, "") == nil })
			w.pollDevices(t.Context())
			if w.events.set != nil {
				t.Fatal("the registration without GPU 0 stays")
			}
			w.register(t.Context())
			if len(w.events.devices) != 2 || n.uuid(0) != simnvml.UUID(0) {
				t.Errorf("registered: %+v; the UUID of GPU 0 is %q", w.events.devices, n.uuid(0))
			}
			w.pollDevices(t.Context())
			if w.events.set == nil {
				t.Error("a registration with every GPU does not stay")
			}
		})
	}
}

func TestPollReachesEveryGPUWhenTheFirstHasNoUUID(t *testing.T) {
	f := simnvml.New(t, merged(simnvml.Machine(2), map[string]string{"gpu0.lost": "1"}))
	events := watch(t, open(t, f, WithPoll(20*time.Millisecond)))
	f.Set("gpu1.recovery", "1")
	if e, _ := next(t, events, KindNeedsRepair); e.Index != 1 || e.UUID != simnvml.UUID(1) {
		t.Errorf("%+v", e)
	}
}

func TestCloseEndsTheWatch(t *testing.T) {
	simnvml.New(t, simnvml.Machine(1))
	n, err := Open(simnvml.Library(t))
	if err != nil {
		t.Fatal(err)
	}
	events := n.Watch(context.Background())
	next(t, events, KindWatching)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for range events { // ends only if the channel is closed
	}
}

func TestSlowReaderMissesTheOldestEvents(t *testing.T) {
	o := make(outbox, eventBuffer)
	const sent = eventBuffer + 10
	for i := range sent {
		o.send(Event{XID: i})
	}
	close(o)
	got, missed, last := 0, 0, -1
	for e := range o {
		if e.XID <= last {
			t.Errorf("event %d after %d", e.XID, last)
		}
		got, missed, last = got+1, missed+e.Missed, e.XID
	}
	if got != eventBuffer || missed != sent-eventBuffer || last != sent-1 {
		t.Errorf("%d received, %d missed, last %d; want %d, %d, %d", got, missed, last, eventBuffer, sent-eventBuffer, sent-1)
	}
}

package gpu

import (
	"context"
	"errors"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

const (
	minBackoff = time.Second
	maxBackoff = 30 * time.Second
)

// Watch tells what happens to the GPUs until the context or the NVML ends; then the channel is closed. It waits for the
// driver's events and, at intervals, asks every GPU whether it still answers, since a GPU can die without an event.
// After an error of NVML it registers for events anew, with a growing pause of at most 30 s. The channel holds up to 64
// events; beyond that the oldest are dropped and counted in Event.Missed. The first event is KindWatching, or
// KindInterrupted when there is nothing to wait for.
func (n *NVML) Watch(ctx context.Context) <-chan Event {
	l, done := n.watchLane()
	w := &watcher{
		n: n, out: outbox{make(chan Event, eventBuffer)}, lane: l, states: map[int]Kind{}, backoff: minBackoff,
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(n.closing, cancel)
	n.watchers.Go(func() {
		defer close(w.out.events)
		defer done()
		defer cancel()
		defer stop()
		w.run(ctx)
	})
	return w.out.events
}

// watcher is one Watch.
type watcher struct {
	n    *NVML
	out  outbox
	lane *lane // of the calls about the event set; a wait for events must not keep a GPU's lane

	events  registration
	told    bool // that the watch is interrupted
	backoff time.Duration

	count  int          // of GPUs, at the last registration
	states map[int]Kind // of GPUs that are not well
	looked time.Time
}

func (w *watcher) run(ctx context.Context) {
	defer w.unregister()
	for ctx.Err() == nil && w.n.closing.Err() == nil {
		if w.events.set == nil {
			w.register(ctx)
		}
		if w.events.set != nil {
			w.wait(ctx)
		}
		if time.Since(w.looked) >= w.n.poll {
			w.look(ctx)
		}
		if w.events.set == nil {
			w.pause(ctx)
		}
	}
}

// pause waits before the next try to register, while the looks at the GPUs go on.
func (w *watcher) pause(ctx context.Context) {
	end := time.Now().Add(w.backoff)
	w.backoff = min(2*w.backoff, maxBackoff)
	for time.Now().Before(end) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(min(time.Until(end), w.n.poll)):
			if time.Since(w.looked) >= w.n.poll {
				w.look(ctx)
			}
		}
	}
}

// interrupted tells once that events are not received.
func (w *watcher) interrupted(err error) {
	if w.told || errors.Is(err, context.Canceled) || errors.Is(err, ErrClosed) {
		return
	}
	w.told = true
	w.out.send(Event{Time: time.Now(), Kind: KindInterrupted, Index: -1, Err: err})
}

var errNoEvent = errors.New("no event")

// wait waits a short while for one event. It is not cut short by the context, so that the set is free afterwards.
func (w *watcher) wait(ctx context.Context) {
	set := w.events.set
	data, err := call(context.WithoutCancel(ctx), w.lane, w.n.timeout+eventWait, func() (nvml.EventData, error) {
		data, status := set.Wait(uint32(eventWait.Milliseconds()))
		if status == nvml.ERROR_TIMEOUT {
			return data, errNoEvent
		}
		return data, check(status)
	})
	switch {
	case errors.Is(err, errNoEvent):
		w.backoff = minBackoff
	case err != nil:
		w.unregister()
		w.look(ctx) // A lost GPU ends the wait for all of them: say which it is.
		w.interrupted(err)
	default:
		w.backoff = minBackoff
		w.happened(ctx, data)
	}
}

// happened turns NVML's event into one of ours.
func (w *watcher) happened(ctx context.Context, data nvml.EventData) {
	index := w.indexOf(data.Device)
	e := Event{
		Time: time.Now(), Index: index, UUID: w.n.uuid(index),
		GPUInstance: instanceID(data.GpuInstanceId), ComputeInstance: instanceID(data.ComputeInstanceId),
	}
	table := ClassInformation
	switch data.EventType {
	case nvml.EventTypeXidCriticalError:
		e.Kind, e.XID = KindXID, int(data.EventData)
		table = Classify(e.XID)
	case nvml.EventTypeDoubleBitEccError:
		e.Kind, table = KindECC, ClassReset
	case nvml.EventTypeSingleBitEccError:
		e.Kind = KindECCCorrected
	case nvml.EventTypeGpuRecoveryAction:
		e.Kind = KindRecovery
	default:
		return
	}
	e.Class, e.ByDriver, e.Recovery = table, false, nil
	if index >= 0 {
		action, err := w.n.recovery(ctx, index)
		e.Recovery = action
		e.Class, e.ByDriver = judge(table, action)
		if errors.Is(err, ErrLost) {
			e.Class, e.ByDriver, e.Err = ClassOut, true, err
		}
	}
	w.out.send(e)
}

// instanceID is nil for NVML's "no instance".
func instanceID(id uint32) *int {
	if id == 0xFFFFFFFF {
		return nil
	}
	n := int(id)
	return &n
}

func (w *watcher) indexOf(device nvml.Device) int {
	for _, d := range w.events.devices {
		if d.device == device {
			return d.index
		}
	}
	return -1
}

func (n *NVML) uuid(index int) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known[index].uuid
}

// recovery asks a GPU for its recovery action, in its lane.
func (n *NVML) recovery(ctx context.Context, index int) (*RecoveryAction, error) {
	return ask(ctx, n, n.lane(index), func() (*RecoveryAction, error) {
		device, err := n.handle(index)
		if err != nil {
			return nil, err
		}
		return n.readRecovery(device)
	})
}

package gpu

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

const (
	minBackoff = time.Second
	maxBackoff = 30 * time.Second
)

// Watch reports events of the GPUs until the context ends or NVML is closed; then the channel is closed. It waits for the
// driver's events and polls every GPU at intervals, since a GPU can fail without an event. After an error of NVML it registers
// for events again, with a backoff of up to 30 s. The channel holds up to 64 events; beyond that the oldest are dropped and
// counted in Event.Missed. The first event is KindWatching, or KindInterrupted if no GPU reports events.
func (n *NVML) Watch(ctx context.Context) <-chan Event {
	l, done := n.watchExecutor()
	w := &watcher{
		n: n, out: make(outbox, eventBuffer), executor: l, states: map[int]Kind{}, backoff: minBackoff,
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(n.closing, cancel)
	n.watchers.Go(func() {
		defer close(w.out)
		defer done()
		defer cancel()
		defer stop()
		w.run(ctx)
	})
	return w.out
}

// watcher is one Watch.
type watcher struct {
	n        *NVML
	out      outbox
	executor *executor // for calls on the event set: waiting for events must not occupy a GPU's executor

	events           registration
	interruptionSent bool
	backoff          time.Duration

	count    int          // of GPUs, at the last registration
	states   map[int]Kind // of unhealthy GPUs
	lastPoll time.Time
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
		if time.Since(w.lastPoll) >= w.n.poll {
			w.pollDevices(ctx)
		}
		if w.events.set == nil {
			w.pause(ctx)
		}
	}
}

// pause waits before the next attempt to register, and keeps polling.
func (w *watcher) pause(ctx context.Context) {
	end := time.Now().Add(w.backoff)
	w.backoff = min(2*w.backoff, maxBackoff)
	for time.Now().Before(end) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(min(time.Until(end), w.n.poll)):
			if time.Since(w.lastPoll) >= w.n.poll {
				w.pollDevices(ctx)
			}
		}
	}
}

// interrupted reports once that events are not received.
func (w *watcher) interrupted(err error) {
	if w.interruptionSent || errors.Is(err, context.Canceled) || errors.Is(err, ErrClosed) {
		return
	}
	w.interruptionSent = true
	w.out.send(Event{Time: time.Now(), Kind: KindInterrupted, Index: -1, Class: ClassUnknown, Err: err})
}

var errNoEvent = errors.New("no event")

// wait waits briefly for one event. The context does not cut it short, so that the set is free afterwards.
func (w *watcher) wait(ctx context.Context) {
	set := w.events.set
	data, err := call(context.WithoutCancel(ctx), w.executor, w.n.timeout+eventWait, func() (nvml.EventData, error) {
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
		w.pollDevices(ctx) // A lost GPU ends the wait for all of them: find out which it is.
		w.interrupted(err)
	default:
		w.backoff = minBackoff
		w.convert(ctx, data)
	}
}

// convert sends NVML's event as one of ours.
func (w *watcher) convert(ctx context.Context, data nvml.EventData) {
	index := w.indexOf(data.Device)
	e := Event{
		Time: time.Now(), Index: index, UUID: w.n.uuid(index),
		GPUInstance: instanceID(data.GpuInstanceId), ComputeInstance: instanceID(data.ComputeInstanceId),
	}
	switch data.EventType {
	case nvml.EventTypeXidCriticalError:
		e.Kind, e.XID = KindXID, int(data.EventData)
		e.Class = tableClass(e.XID)
	case nvml.EventTypeDoubleBitEccError:
		e.Kind, e.Class = KindECC, ClassReset
	case nvml.EventTypeSingleBitEccError:
		e.Kind, e.Class = KindECCCorrected, ClassInformation
	case nvml.EventTypeGpuRecoveryAction:
		e.Kind, e.Class = KindRecoveryAction, ClassInformation
	default:
		return
	}
	if index >= 0 {
		var err error
		e.Recovery, err = w.n.recovery(ctx, index)
		e.Class, e.ByDriver = classify(e.Class, e.Recovery)
		if errors.Is(err, ErrLost) {
			e.Class, e.ByDriver, e.Err = ClassOutOfService, true, err
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
	for index, d := range w.events.devices {
		if d == device {
			return index
		}
	}
	return -1
}

func (n *NVML) uuid(index int) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known[index].UUID
}

// recovery reads a GPU's recovery action in its executor.
func (n *NVML) recovery(ctx context.Context, index int) (*RecoveryAction, error) {
	return ask(ctx, n, n.executor(index), func() (*RecoveryAction, error) {
		device, err := n.handle(index)
		if err != nil {
			return nil, err
		}
		return n.readRecovery(device)
	})
}

const wantedEvents = nvml.EventTypeXidCriticalError | nvml.EventTypeSingleBitEccError | nvml.EventTypeDoubleBitEccError |
	nvml.EventTypeGpuRecoveryAction

// registration is an event set and the GPUs in it.
type registration struct {
	set     nvml.EventSet
	devices map[int]nvml.Device // by index
	missing map[int]bool        // indices of the GPUs that could not be added because they were unhealthy
	hung    bool                // a call that uses the set may hang in the driver, so that it cannot be freed
}

// register creates an event set with every GPU that can be in it.
func (w *watcher) register(ctx context.Context) {
	inventory, err := w.n.Inventory(ctx) // also learns the UUIDs
	if err != nil {
		w.interrupted(err)
		return
	}
	set, err := ask(ctx, w.n, w.executor, func() (nvml.EventSet, error) {
		set, status := w.n.api.EventSetCreate()
		return set, check(status)
	})
	if err != nil {
		w.interrupted(err)
		return
	}
	w.events, w.count = registration{set: set, devices: map[int]nvml.Device{}, missing: map[int]bool{}}, len(inventory.Devices)
	for _, d := range inventory.Devices {
		w.add(ctx, d.Index)
	}
	if len(w.events.devices) == 0 {
		w.unregister()
		w.interrupted(errors.New("no GPU reports events"))
		return
	}
	w.interruptionSent = false
	w.out.send(Event{Time: time.Now(), Kind: KindWatching, Index: -1, Class: ClassInformation})
}

// add adds a GPU to the set, in the GPU's executor: one that hangs must not block the others. A lost GPU cannot be added, and
// one without relevant events need not. An unhealthy one is noted as missing: it may recover before it is first polled, so that
// polling would not see its state change.
func (w *watcher) add(ctx context.Context, index int) {
	set := w.events.set
	device, err := ask(ctx, w.n, w.n.executor(index), func() (nvml.Device, error) {
		device, err := w.n.handle(index)
		if err != nil {
			return nil, err
		}
		types, status := device.GetSupportedEventTypes()
		if status == nvml.SUCCESS && types&wantedEvents != 0 {
			status = device.RegisterEvents(types&wantedEvents, set)
		} else if status == nvml.SUCCESS {
			status = nvml.ERROR_NOT_SUPPORTED
		}
		err = check(status)
		if err != nil && !fatal(err) {
			err = errNotSupported // it responds when polled, so retrying would never end
		}
		return device, err
	})
	switch {
	case err == nil:
		w.events.devices[index] = device
	case errors.Is(err, errNotSupported):
	default:
		w.events.missing[index] = true
		w.events.hung = w.events.hung || errors.Is(err, ErrUnresponsive) || ctx.Err() != nil
	}
}

// unregister frees the event set.
func (w *watcher) unregister() {
	old := w.events
	w.events = registration{}
	if old.set == nil || old.hung {
		return
	}
	// If the wait for its events hangs, the executor is overdue and the set is kept.
	_ = run(context.Background(), w.executor, w.n.timeout, func() error { return check(old.set.Free()) })
}

// pollDevices pings every GPU, including those whose UUID could not be read, and reports changes.
func (w *watcher) pollDevices(ctx context.Context) {
	w.lastPoll = time.Now()
	count := w.count
	w.n.mu.Lock()
	for index := range w.n.known {
		count = max(count, index+1) // NVML's indices have no gaps
	}
	w.n.mu.Unlock()
	errs := make([]error, count)
	var probes sync.WaitGroup
	for i := range errs {
		probes.Go(func() { errs[i] = w.n.ping(ctx, i, "") })
	}
	probes.Wait()
	if ctx.Err() != nil {
		return // the errors only say that the watch ends
	}
	for i, err := range errs {
		w.reportChange(i, w.n.uuid(i), err)
	}
}

// reportChange sends an event if a GPU's state changed.
func (w *watcher) reportChange(index int, uuid string, err error) {
	state, class := stateOf(err)
	before, unwell := w.states[index]
	if err == nil && (unwell || w.events.missing[index]) && w.events.devices[index] == nil {
		w.unregister() // the recovered GPU is not in the present registration
		w.backoff = minBackoff
	}
	if (!unwell && err == nil) || (unwell && before == state) {
		return
	}
	w.states[index] = state
	if err == nil {
		delete(w.states, index)
	}
	w.out.send(Event{Time: time.Now(), Kind: state, Index: index, UUID: uuid, Class: class, Err: err})
}

// stateOf classifies the result of a ping. A GPU that does not respond may only be busy and recover by itself, so that its class
// is unknown.
func stateOf(err error) (Kind, Class) {
	switch {
	case err == nil:
		return KindRecovered, ClassInformation
	case errors.Is(err, ErrLost):
		return KindLost, ClassOutOfService
	case errors.Is(err, ErrNeedsRepair):
		return KindNeedsRepair, ClassReset
	case errors.Is(err, ErrUnresponsive):
		return KindUnresponsive, ClassUnknown
	}
	return KindFailed, ClassUnknown
}

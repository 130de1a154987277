package gpu

import (
	"context"
	"errors"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

const wantedEvents = nvml.EventTypeXidCriticalError | nvml.EventTypeSingleBitEccError | nvml.EventTypeDoubleBitEccError |
	nvml.EventTypeGpuRecoveryAction

// registration is an event set and the GPUs in it.
type registration struct {
	set     nvml.EventSet
	devices []watched
	missing map[int]bool // indices of the GPUs that were not well when they were to be added
	stuck   bool         // a call that uses the set may still hang in the driver, which then keeps the set
}

// watched is a GPU whose events are received.
type watched struct {
	index  int
	device nvml.Device
}

// register makes an event set with every GPU that can be in it.
func (w *watcher) register(ctx context.Context) {
	inventory, err := w.n.Inventory(ctx) // also learns the UUIDs
	if err != nil {
		w.interrupted(err)
		return
	}
	set, err := ask(ctx, w.n, w.lane, func() (nvml.EventSet, error) {
		set, status := w.n.api.EventSetCreate()
		return set, check(status)
	})
	if err != nil {
		w.interrupted(err)
		return
	}
	w.events, w.count = registration{set: set, missing: map[int]bool{}}, len(inventory.Devices)
	for _, d := range inventory.Devices {
		w.add(ctx, d.Index)
	}
	if len(w.events.devices) == 0 {
		w.unregister()
		w.interrupted(errors.New("no GPU reports events"))
		return
	}
	w.told = false
	w.out.send(Event{Time: time.Now(), Kind: KindWatching, Index: -1, Class: ClassInformation})
}

// add puts a GPU into the set, in the GPU's lane: one that hangs must not keep the others out. A lost GPU cannot be in
// a set, and one without any event of interest need not. One that is not well is kept in mind as missing: it may be well
// again before the first look at it, so that no look sees its state change.
func (w *watcher) add(ctx context.Context, index int) {
	set := w.events.set
	device, err := ask(ctx, w.n, w.n.lane(index), func() (nvml.Device, error) {
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
			err = errNotSupported // It answers a look, so trying again would have no end.
		}
		return device, err
	})
	switch {
	case err == nil:
		w.events.devices = append(w.events.devices, watched{index, device})
	case errors.Is(err, errNotSupported):
	default:
		w.events.missing[index] = true
		w.events.stuck = w.events.stuck || errors.Is(err, ErrNotAnswering) || ctx.Err() != nil
	}
}

// unregister gives the event set back.
func (w *watcher) unregister() {
	old := w.events
	w.events = registration{}
	if old.set == nil || old.stuck {
		return
	}
	// The lane is overdue, and the set kept, if the wait for its events hangs.
	_, _ = call(context.Background(), w.lane, w.n.timeout, func() (struct{}, error) {
		return struct{}{}, check(old.set.Free())
	})
}

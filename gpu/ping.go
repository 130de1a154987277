package gpu

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Ping queries a GPU, or a MIG instance and its GPU, for what only the GPU itself knows. Nil means that it responded in
// time and takes new work. Errors: ErrUnknownDevice, ErrLost, ErrNeedsRepair, ErrUnresponsive, the context's, or another of
// the driver's.
func (n *NVML) Ping(ctx context.Context, uuid string) error {
	index, instance, ok := n.find(uuid)
	if !ok {
		inventory, err := n.Inventory(ctx)
		if err != nil {
			return err
		}
		if index, instance, ok = n.find(uuid); !ok {
			return unknown(inventory.Devices, uuid)
		}
	}
	return n.ping(ctx, index, instance)
}

// unknown is the error for a UUID that no GPU has, with the errors of the GPUs whose UUID could not be read.
func unknown(devices []Device, uuid string) error {
	err := fmt.Errorf("%w: %s", ErrUnknownDevice, uuid)
	for _, d := range devices {
		if d.UUID == "" && d.Err != nil {
			err = fmt.Errorf("%w; %w", err, d.Err)
		}
	}
	return err
}

// find returns the index of the GPU with a UUID, or of the GPU with that instance, and then the instance.
func (n *NVML) find(uuid string) (index int, instance string, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for index, d := range n.known {
		if d.UUID == uuid {
			return index, "", true
		}
		if slices.ContainsFunc(d.Instances, func(in Instance) bool { return in.UUID == uuid }) {
			return index, uuid, true
		}
	}
	return 0, "", false
}

// ping reads the memory in use, which the driver fetches from the GPU, and the recovery action. It also checks that the
// instance, if any, still exists.
func (n *NVML) ping(ctx context.Context, index int, instance string) error {
	action, err := ask(ctx, n, n.executor(index), func() (*RecoveryAction, error) {
		device, err := n.handle(index)
		if err != nil {
			return nil, err
		}
		_, status := device.GetMemoryInfo()
		if err := check(status); err != nil && !errors.Is(err, errNotSupported) {
			return nil, err
		}
		if err := n.exists(instance); err != nil {
			return nil, err
		}
		return n.readRecovery(device)
	})
	if err != nil {
		return err
	}
	return action.err()
}

func (n *NVML) exists(instance string) error {
	if instance == "" {
		return nil
	}
	_, status := n.api.DeviceGetHandleByUUID(instance)
	if status == nvml.ERROR_NOT_FOUND {
		return fmt.Errorf("%w: %s", ErrUnknownDevice, instance)
	}
	return check(status)
}

package inference

import (
	"context"
	"slices"

	"fovea/inference/onnx"
)

// Device is the device of models that name none.
func (e *Engine) Device() string { return e.shared.device.String() }

// HealthCheck asks the device of models that name none, and every device that a loaded model is on, whether it still
// computes. It latches an error that requires a restart, even if no request has met it yet.
func (e *Engine) HealthCheck(context.Context) error {
	for _, d := range e.devices() {
		if err := e.checkDevice(d); err != nil {
			e.markDeviceLost(err)
			return err
		}
	}
	return nil
}

func (e *Engine) devices() []onnx.Device {
	e.mu.RLock()
	defer e.mu.RUnlock()
	list := []onnx.Device{e.shared.device}
	for _, m := range e.models {
		for _, v := range m.served {
			for _, s := range v.sessions {
				if !slices.Contains(list, s.Device()) {
					list = append(list, s.Device())
				}
			}
		}
	}
	return list
}

// markDeviceLost latches an error after which the device cannot be used by this process.
func (e *Engine) markDeviceLost(err error) {
	if !onnx.IsDeviceLost(err) {
		return
	}
	e.mu.Lock()
	first := e.lost == nil
	if first {
		e.lost = err
	}
	e.mu.Unlock()
	if first {
		e.log.Error("device lost; restart required", "error", err)
	}
}

// Broken is the error of a lost device, which requires a restart; nil while there is none.
func (e *Engine) Broken() error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.lost
}

package inference

import (
	"context"
	"slices"

	"fovea/inference/onnx"
)

// Device is the device of models that name none, and why it was chosen.
func (e *Engine) Device() (name, why string) { return e.shared.device.String(), e.why }

// Touch asks the device of models that name none, and every device that a loaded model is on, whether it still
// computes. A fault that only a restart mends is latched, though no request has met it yet.
func (e *Engine) Touch(context.Context) error {
	for _, d := range e.devices() {
		if err := e.touch(d); err != nil {
			e.ranInto(err)
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

// ranInto latches an error after which the device computes no more in this process.
func (e *Engine) ranInto(err error) {
	if !onnx.IsDeviceLost(err) {
		return
	}
	e.mu.Lock()
	first := e.broken == nil
	if first {
		e.broken = err
	}
	e.mu.Unlock()
	if first {
		e.log.Error("device lost: every request fails until the process is restarted", "error", err)
	}
}

// Broken is the fault that only a restart mends, nil while there is none.
func (e *Engine) Broken() error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.broken
}

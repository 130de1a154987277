package health_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fovea/health"
)

// engine stands for inference.Engine.
type engine struct{ reasons []string }

func (e *engine) Ready() []string { return e.reasons }
func (e *engine) Broken() error   { return nil }

// A monitor combines the engine's state with other checks, such as a probe of the GPU.
func ExampleMonitor() {
	models := &engine{reasons: []string{"model resnet50 is loading"}}
	gpu := health.Cached("gpu", func(context.Context) error { return errors.New("driver does not respond") }, time.Second, time.Second)
	monitor := health.New(models, slog.New(slog.DiscardHandler), gpu)

	fmt.Println(monitor.Report().Status)
	monitor.Loaded()
	report := monitor.Report()
	fmt.Println(report.Status, report.Live())
	for _, reason := range report.Reasons {
		fmt.Println(reason)
	}
	monitor.Drain()
	fmt.Println(monitor.Report().Status)
	// Output:
	// starting
	// unready true
	// model resnet50 is loading
	// gpu: driver does not respond
	// draining
}

//go:build plantedslowness

package main

import (
	"time"

	"fovea/inference"
)

// A server built with the tag plantedslowness proves that the benchmark guard detects a loss: it computes for one tenth of the
// time of each run more.
type slow struct{ inference.Observer }

func observed(o inference.Observer) inference.Observer { return slow{o} }

// Stage computes as well.
func (s slow) Stage(model, version, stage string, d time.Duration) {
	if stage == inference.StageInfer {
		for began := time.Now(); time.Since(began) < d/10; {
		}
	}
	s.Observer.Stage(model, version, stage, d)
}

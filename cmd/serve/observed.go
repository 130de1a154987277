//go:build !plantedleak && !plantedslowness

package main

import "fovea/inference"

// observed returns the engine's observer; see plantedleak.go and plantedslowness.go.
func observed(o inference.Observer) inference.Observer { return o }

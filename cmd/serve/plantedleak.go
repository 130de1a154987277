//go:build plantedleak

package main

import "fovea/inference"

// leaked grows with every batch. A server built with the tag plantedleak proves that the soak test detects a leak.
var leaked [][]byte

const leakedBytes = 64 << 10

type leaking struct{ inference.Observer }

func observed(o inference.Observer) inference.Observer { return leaking{o} }

// Batch leaks.
func (l leaking) Batch(model, version string, rows, padded int) {
	page := make([]byte, leakedBytes)
	for i := range page {
		page[i] = 1 // memory counts as resident once it is written
	}
	leaked = append(leaked, page)
	l.Observer.Batch(model, version, rows, padded)
}

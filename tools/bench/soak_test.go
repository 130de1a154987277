package main

import (
	"math/rand/v2"
	"testing"
)

func TestGrowthTellsALeakFromNoise(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		name     string
		resident func(i int) int64 // after i thousand requests
		leaks    bool
	}{
		{"constant memory", func(int) int64 { return 200 * mib }, false},
		{"noise of a few MiB", func(int) int64 { return 200*mib + rand.Int64N(4*mib) }, false},
		{"one arena that grows once", func(i int) int64 {
			if i > 50 {
				return 232 * mib
			}
			return 200 * mib
		}, false},
		{"96 bytes a request", func(i int) int64 { return 200*mib + int64(i)*96_000 }, true},
		{"1 KiB a request under noise", func(i int) int64 { return 200*mib + int64(i)*1_024_000 + rand.Int64N(8*mib) }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var samples []sample
			for i := range 100 {
				samples = append(samples, sample{int64(i) * 1000, usage{Resident: test.resident(i)}})
			}
			slope := growth(samples)
			err := verdict(slope, 64, idleUsage{}, idleUsage{})
			if (err != nil) != test.leaks {
				t.Errorf("slope %.1f bytes a request, error %v, want a leak: %v", slope, err, test.leaks)
			}
		})
	}
}

func TestVerdictNamesLeaks(t *testing.T) {
	before := idleUsage{usage: usage{Files: 10}, goroutines: 20}
	if err := verdict(0, 64, before, idleUsage{usage: usage{Files: 12}, goroutines: 22}); err != nil {
		t.Errorf("the runtime's own goroutines count as a leak: %v", err)
	}
	after := idleUsage{usage: usage{Files: 13}, goroutines: 25}
	err := verdict(0, 64, before, after)
	if err == nil || err.Error() != "goroutines leak: 20 before, 25 after\nfiles leak: 10 before, 13 after" {
		t.Errorf("got %v", err)
	}
}

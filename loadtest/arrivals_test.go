package loadtest

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// dues are the first n due times of a schedule whose caller is never late.
func dues(t *testing.T, s *schedule, n int) []time.Duration {
	t.Helper()
	var list []time.Duration
	elapsed := time.Duration(0)
	for i := range n {
		wait, stop := s.Pace(elapsed, uint64(i))
		if stop {
			t.Fatal("stopped")
		}
		elapsed += wait
		due := <-s.due
		if due != elapsed {
			t.Fatalf("request %d is sent at %s and due at %s", i, elapsed, due)
		}
		list = append(list, due)
	}
	return list
}

func TestConstantArrivalsDoNotDrift(t *testing.T) {
	// A third of a second is not a whole number of nanoseconds: rounding errors would add up.
	list := dues(t, newSchedule(Constant, 3, 1, 1, nil), 300_000)
	if got := list[len(list)-1]; got != 100_000*time.Second {
		t.Errorf("the last of 300,000 is due at %s", got)
	}
	if got := list[0]; got != time.Second/3 {
		t.Errorf("the first is due at %s", got)
	}
}

func TestPoissonArrivalsHaveExponentialGaps(t *testing.T) {
	const n, rate = 20_000, 250.0
	list := dues(t, newSchedule(Poisson, rate, 7, 1, nil), n)
	gaps := make([]float64, n)
	before := time.Duration(0)
	for i, due := range list {
		gaps[i] = (due - before).Seconds()
		before = due
	}
	slices.Sort(gaps)
	// Kolmogorov and Smirnov's distance to 1 - exp(-rate·x); below 1.63/√n it is no reason for doubt at 1 %.
	distance := 0.0
	for i, gap := range gaps {
		want := 1 - math.Exp(-rate*gap)
		distance = max(distance, math.Abs(want-float64(i)/n), math.Abs(want-float64(i+1)/n))
	}
	if distance > 1.63/math.Sqrt(n) {
		t.Errorf("distance %g", distance)
	}
}

func TestPoissonArrivalsAreRepeatable(t *testing.T) {
	a, b := dues(t, newSchedule(Poisson, 10, 5, 1, nil), 100), dues(t, newSchedule(Poisson, 10, 5, 1, nil), 100)
	c := dues(t, newSchedule(Poisson, 10, 6, 1, nil), 100)
	if !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Error("the same seed has to give the same arrivals, and another one others")
	}
}

func TestScheduleBehindSendsImmediately(t *testing.T) {
	s := newSchedule(Constant, 10, 1, 8, nil)
	for i, want := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond} {
		if wait, _ := s.Pace(time.Second, uint64(i)); wait > 0 {
			t.Errorf("waits %s", wait)
		}
		if due := <-s.due; due != want {
			t.Errorf("request %d is due at %s", i, due)
		}
	}
}

func TestScheduleStopsWithoutAReader(t *testing.T) {
	stopped := make(chan struct{})
	close(stopped)
	s := newSchedule(Constant, 10, 1, 0, stopped)
	for i := range 10 {
		if _, stop := s.Pace(0, uint64(i)); stop {
			return
		}
	}
	t.Error("the arrivals continue")
}

func TestStopInterruptsALongGap(t *testing.T) {
	stopped := make(chan struct{})
	s := newSchedule(Constant, 0.001, 1, 1, stopped)
	close(stopped)
	if wait, stop := s.Pace(0, 0); !stop {
		t.Errorf("sleeps %s", wait)
	}
}

func TestLongGapIsWaitedInFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(Constant, 0.01, 1, 1, nil)
		asked := time.Now()
		wait, stop := s.Pace(0, 0)
		if waited := time.Since(asked); stop || wait > maxSleep || waited+wait != 100*time.Second {
			t.Errorf("waits %s and leaves %s, stop %t", waited, wait, stop)
		}
	})
}

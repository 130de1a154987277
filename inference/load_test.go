package inference

import (
	"fmt"
	"testing"
)

func fakeLane(t *testing.T, f *fakeDevice, buckets ...int) *lane {
	t.Helper()
	rows := buckets[len(buckets)-1]
	l, err := newLane(laneSpec{device: "cpu", instances: 1, rows: rows, buckets: buckets, inputs: 1, newRunner: f.runner(rows)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestWarmUpRunsEveryBucketAsOftenAsTheDefinitionSays(t *testing.T) {
	for warmup, want := range map[int]int{0: 0, 1: 3, 2: 6} {
		f := &fakeDevice{}
		l := fakeLane(t, f, 1, 2, 4)
		v := &version{}
		v.definition.Warmup = warmup
		if err := v.warm(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		for i, run := range f.runs {
			if rows := []int{4, 2, 1}[i%3]; len(run) != rows {
				t.Errorf("run %d has %d rows, want %d", i, len(run), rows)
			}
			for _, row := range run {
				if row != 0 {
					t.Errorf("run %d holds %#x", i, row)
				}
			}
		}
		if len(f.runs) != want {
			t.Errorf("warmup %d: %d runs, want %d", warmup, len(f.runs), want)
		}
	}
}

func TestAWarmUpThatFailsKeepsTheVersionFromBeingReady(t *testing.T) {
	f := &fakeDevice{fail: func(run int) error { return fmt.Errorf("run %d failed", run) }}
	v := &version{}
	v.definition.Warmup = 1
	if err := v.warm(t.Context(), fakeLane(t, f, 1)); err == nil || err.Error() != "warm-up on cpu: run 0 failed" {
		t.Error(err)
	}
}

func TestInstancesAreThoseOfTheDefinitionThenTheServers(t *testing.T) {
	r := newRepository(t).define("named", colors+"instances: [{device: cpu, count: 3}]\n").add("named", 1, "colors")
	r.define("other", colors).add("other", 1, "colors")
	e := r.synced(func(c *Config) { c.Instances = 2 })
	for name, want := range map[string]int{"named": 3, "other": 2} {
		if got := e.models[name].served[0].scheduler.lanes[0].instances; got != want {
			t.Errorf("%s has %d instances, want %d", name, got, want)
		}
	}
}

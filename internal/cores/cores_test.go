package cores

import (
	"runtime"
	"testing"
)

func TestAddProcessor(t *testing.T) {
	before, cores := runtime.GOMAXPROCS(0), Count()
	defer runtime.GOMAXPROCS(before)
	t.Setenv("GOMAXPROCS", "3")
	if AddProcessor(); runtime.GOMAXPROCS(0) != before {
		t.Error("it changed what the environment sets")
	}
	t.Setenv("GOMAXPROCS", "")
	if AddProcessor(); runtime.GOMAXPROCS(0) != cores+1 {
		t.Errorf("%d processors for %d cores", runtime.GOMAXPROCS(0), cores)
	}
	AddProcessor()
	if runtime.GOMAXPROCS(0) != cores+1 || Count() != cores {
		t.Errorf("%d processors for %d cores, which were %d, after a second call", runtime.GOMAXPROCS(0), Count(), cores)
	}
}

func TestCoresOfACPULimit(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	for _, test := range []struct {
		processors int
		limit      float64
		want       int
	}{{8, 0, 8}, {2, 0.2, 1}, {2, 1, 1}, {2, 1.5, 2}, {4, 4, 4}, {2, 64, 2}} {
		if got := within(test.processors, test.limit); got != test.want {
			t.Errorf("%d processors, a limit of %v: %d cores; want %d", test.processors, test.limit, got, test.want)
		}
	}
	t.Setenv("GOMAXPROCS", "2")
	if got := within(2, 0.5); got != 2 {
		t.Errorf("%d cores; the environment says 2", got)
	}
}

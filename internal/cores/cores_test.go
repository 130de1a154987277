package cores

import (
	"runtime"
	"testing"
)

func TestAddProcessor(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	t.Setenv("GOMAXPROCS", "3")
	if AddProcessor(); runtime.GOMAXPROCS(0) != before {
		t.Error("it changed what the environment sets")
	}
	t.Setenv("GOMAXPROCS", "")
	if AddProcessor(); runtime.GOMAXPROCS(0) != Count()+1 {
		t.Errorf("%d processors for %d cores", runtime.GOMAXPROCS(0), Count())
	}
	AddProcessor()
	if runtime.GOMAXPROCS(0) != Count()+1 || Count() != before {
		t.Errorf("%d processors for %d cores after a second call", runtime.GOMAXPROCS(0), Count())
	}
}

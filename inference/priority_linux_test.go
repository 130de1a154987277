package inference

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestLoadsLeaveTheCoresToRuns: the thread of a load has a lower priority, and ends with it, so that no other work has it.
func TestLoadsLeaveTheCoresToRuns(t *testing.T) {
	priority := func() int {
		// The kernel returns 20 minus the nice value.
		p, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
		if err != nil {
			t.Fatal(err)
		}
		return 20 - p
	}
	before := priority()
	seen := make(chan int)
	go func() {
		lowerPriority()
		seen <- priority()
	}()
	if got, want := <-seen, min(before+loadNiceness, mostNice); got != want {
		t.Errorf("the nice value of a load is %d, want %d", got, want)
	}
	for range 100 {
		go func() { seen <- priority() }()
		if got := <-seen; got != before {
			t.Fatalf("the nice value of another goroutine is %d, want %d", got, before)
		}
	}
}

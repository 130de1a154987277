package proc

import (
	"os"
	"testing"
	"time"
)

func TestParseStatReadsNamesWithBlanksAndBrackets(t *testing.T) {
	text := "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1 0 1 1 1"
	got, err := ParseStat([]byte(text))
	if want := (Stat{PID: 42, Parent: 7, User: 1500 * time.Millisecond, System: 500 * time.Millisecond, MinorFaults: 1}); err != nil || got != want {
		t.Errorf("got %+v and %v, want %+v", got, err, want)
	}
	if got.CPU() != 2*time.Second {
		t.Errorf("got %s of CPU time, want 2 s", got.CPU())
	}
	for _, broken := range []string{"", "42 name S 7", "42 (name) S 7 1", "x (name) S 7 42 42 0 -1 1 1 2 3 4 1 5 9",
		"42 (name) S 7 42 42 0 -1 1 x 2 3 4 1 5 9", "42 (name) S 7 42 42 0 -1 1 1 2 3 4 x 5 9"} {
		if _, err := ParseStat([]byte(broken)); err == nil {
			t.Errorf("%q was read", broken)
		}
	}
}

func TestCPUOf(t *testing.T) {
	before := OwnCPU()
	for OwnCPU()-before < 20*time.Millisecond {
		continue
	}
	if got, err := CPUOf(os.Getpid()); err != nil || got < 20*time.Millisecond || got > OwnCPU()+time.Millisecond {
		t.Errorf("%s, %v; this process has taken %s", got, err, OwnCPU())
	}
	if _, err := CPUOf(1 << 22); err == nil { // above the highest process ID
		t.Error("a process that does not exist has taken time")
	}
}

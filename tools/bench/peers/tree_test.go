package peers

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"fovea/tools/bench/proc"
)

func TestParsePSS(t *testing.T) {
	for text, want := range map[string]int64{
		"00400000-7fff ---p 0 00:00 0 [rollup]\nRss:  900 kB\nPss:   123 kB\nPss_Dirty: 7 kB\n": 123 << 10,
		"Rss: 1 kB\n": 0, "Pss: many kB\n": 0, "": 0,
	} {
		if got := parsePSS([]byte(text)); got != want {
			t.Errorf("%q gives %d, want %d", text, got, want)
		}
	}
}

func TestDescendantsLeavesOutTheRootAndOthers(t *testing.T) {
	all := []proc.Stat{{PID: 1}, {PID: 2, Parent: 1}, {PID: 3, Parent: 2}, {PID: 4, Parent: 3}, {PID: 5, Parent: 1}}
	var got []int
	for _, s := range descendants(all, 2) {
		got = append(got, s.PID)
	}
	if len(got) != 2 || got[0] != 3 || got[1] != 4 {
		t.Errorf("got %v, want 3 and 4", got)
	}
}

// TestStopKillsDetachedProcesses starts a process whose child has its own session and ignores SIGTERM, like the workers of
// some servers.
func TestStopKillsDetachedProcesses(t *testing.T) {
	if err := adopt(); err != nil {
		t.Fatal(err)
	}
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{log: log, cmd: exec.Command("sh", "-c", `setsid sh -c 'trap "" TERM; while :; do sleep 1; done' & sleep 600`)}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 500 { // the shell, its sleep, the hidden one and its sleep
		if list, err := tree(); err != nil || len(list) >= 4 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if pss, err := treePSS(); err != nil || pss <= 0 {
		t.Errorf("the processes use %d bytes: %v", pss, err)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if list, err := tree(); err != nil || len(list) > 0 {
		t.Errorf("%+v are left: %v", list, err)
	}
}

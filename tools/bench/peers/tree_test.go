package peers

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParseStatReadsNamesWithBlanksAndBrackets(t *testing.T) {
	text := "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1 0 1 1 1"
	got, err := parseStat([]byte(text))
	if want := (stat{pid: 42, parent: 7, cpu: 2 * time.Second}); err != nil || got != want {
		t.Errorf("got %+v and %v, want %+v", got, err, want)
	}
	for _, broken := range []string{"", "42 name S 7", "42 (name) S 7 1", "x (name) S 7 42 42 0 -1 1 1 2 3 4 1 5 9"} {
		if _, err := parseStat([]byte(broken)); err == nil {
			t.Errorf("%q was read", broken)
		}
	}
}

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
	all := []stat{{pid: 1}, {pid: 2, parent: 1}, {pid: 3, parent: 2}, {pid: 4, parent: 3}, {pid: 5, parent: 1}}
	var got []int
	for _, s := range descendants(all, 2) {
		got = append(got, s.pid)
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

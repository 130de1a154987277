package native

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMonitorThreadHasMoreSlack looks at the timer slack of all threads: the main one has the default again.
func TestMonitorThreadHasMoreSlack(t *testing.T) {
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil || len(tasks) < 2 {
		t.Fatalf("%d threads: %v", len(tasks), err)
	}
	more := 0
	for _, task := range tasks {
		id := filepath.Base(task)
		text, err := os.ReadFile("/proc/" + id + "/timerslack_ns")
		if err != nil {
			continue // it has exited
		}
		slack := strings.TrimSpace(string(text))
		if slack == "500000" {
			more++
		}
		if id == fmt.Sprint(os.Getpid()) && slack != "50000" {
			t.Errorf("the main thread has a slack of %s ns, want 50000", slack)
		}
	}
	if more == 0 {
		t.Error("no thread has a slack of 500000 ns")
	}
}

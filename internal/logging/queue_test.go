package logging

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fovea/internal/testenv"
)

// slowReader is a writer whose reader stops until it is let go.
type slowReader struct {
	testenv.Buffer
	gate chan struct{}
}

func (s *slowReader) Write(p []byte) (int, error) {
	<-s.gate
	return s.Buffer.Write(p)
}

func TestQueueKeepsTheOrder(t *testing.T) {
	var got bytes.Buffer
	q := NewQueue(&got)
	var want strings.Builder
	for i := range 1000 {
		line := fmt.Sprintln("line", i)
		want.WriteString(line)
		if n, err := io.WriteString(q, line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	q.Close()
	if got.String() != want.String() || q.Dropped() != 0 {
		t.Errorf("%d bytes of %d came, %d lines were dropped", got.Len(), want.Len(), q.Dropped())
	}
}

func TestQueueDoesNotBlock(t *testing.T) {
	for name, line := range map[string]string{
		"short lines are bounded by their number": "x\n",
		"long lines are bounded by their size":    strings.Repeat("x", queueBytes/8) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reader := &slowReader{gate: make(chan struct{})}
				log, q := NewQueued(Config{Level: "info", Format: "json"}, reader)
				lines := 2 * queueLines
				for range lines {
					if _, err := io.WriteString(q, line); err != nil {
						t.Fatal(err)
					}
				}
				dropped := int(q.Dropped())
				if dropped < lines/2-1 || dropped == lines {
					t.Errorf("%d of %d lines were dropped", dropped, lines)
				}
				close(reader.gate) // it reads again
				synctest.Wait()
				log.Info("the last")
				q.Close()
				got := reader.String()
				if n := strings.Count(got, line); n != lines-dropped {
					t.Errorf("%d lines came; %d of %d were dropped", n, dropped, lines)
				}
				if want := fmt.Sprintf(`"lines":%d}`, dropped); strings.Count(got, want) != 1 || !strings.Contains(got, "the last") {
					t.Errorf("the log ends with %q and does not contain %s once", got[max(0, len(got)-300):], want)
				}
			})
		})
	}
}

func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := &slowReader{gate: make(chan struct{})}
		q := NewQueue(reader)
		_, _ = io.WriteString(q, "line\n")
		begin := time.Now()
		q.Close()
		q.Close()
		if took := time.Since(begin); took != 2*flushTime {
			t.Errorf("closing twice took %s", took)
		}
		if _, err := io.WriteString(q, "late\n"); err != nil || q.Dropped() != 1 {
			t.Errorf("a late line: %v, %d dropped", err, q.Dropped())
		}
		close(reader.gate)
	})
}

func TestFailedWritesAreCounted(t *testing.T) {
	r, w := io.Pipe()
	_ = r.CloseWithError(errors.New("gone"))
	q := NewQueue(w)
	_, _ = io.WriteString(q, "line\n")
	q.Close()
	if q.Dropped() != 1 {
		t.Errorf("%d lines are counted as dropped", q.Dropped())
	}
}

// TestMain is, in a separate process, a program whose reader exits.
func TestMain(m *testing.M) {
	switch os.Getenv("FOVEA_TEST_READER_ENDS") {
	case "survive":
		SurviveSIGPIPE()
		fallthrough
	case "die":
		_, _ = io.Copy(io.Discard, os.Stdin) // until the pipe's other end is closed
		for range 3 {
			_, _ = fmt.Fprintln(os.Stderr, "words")
			_, _ = fmt.Fprintln(os.Stdout, "words")
		}
		child := exec.Command("sh", "-c", "kill -PIPE $$; exit 3")
		_ = child.Run()
		if child.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGPIPE {
			os.Exit(4)
		}
		os.Exit(5)
	}
	os.Exit(m.Run())
}

func TestSurviveSIGPIPE(t *testing.T) {
	for _, test := range []struct {
		name, way string
		ends      func(syscall.WaitStatus) bool
	}{
		{"it continues, and its children still die of SIGPIPE", "survive", func(s syscall.WaitStatus) bool { return s.ExitStatus() == 5 }},
		{"by default it dies", "die", func(s syscall.WaitStatus) bool { return s.Signal() == syscall.SIGPIPE }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			program := exec.Command(os.Args[0])
			program.Env = append(os.Environ(), "FOVEA_TEST_READER_ENDS="+test.way)
			program.Stdout, program.Stderr = w, w
			stdin, err := program.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := program.Start(); err != nil {
				t.Fatal(err)
			}
			_, _ = r.Close(), w.Close()
			_ = stdin.Close()
			_ = program.Wait()
			if status := program.ProcessState.Sys().(syscall.WaitStatus); !test.ends(status) {
				t.Errorf("it ended with status %d, signal %v", status.ExitStatus(), status.Signal())
			}
		})
	}
}

package health

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type engine struct {
	reasons []string
	broken  error
}

func (e *engine) Ready() []string { return e.reasons }
func (e *engine) Broken() error   { return e.broken }

func newMonitor(e *engine, checks ...Check) (*Monitor, *bytes.Buffer) {
	var log bytes.Buffer
	return New(e, slog.New(slog.NewTextHandler(&log, nil)), checks...), &log
}

func TestHighestStateIsReported(t *testing.T) {
	gpuGone := func() Finding { return Finding{Reasons: []string{"gpu: does not answer"}, GPULost: true} }
	for name, test := range map[string]struct {
		engine engine
		checks []Check
		change func(*Monitor)
		want   Report
	}{
		"before models are loaded":             {want: Report{Status: Starting, Reasons: []string{"models are being loaded"}}},
		"all loaded":                           {change: (*Monitor).Loaded, want: Report{Status: Ready, Reasons: []string{}}},
		"a required model is missing":          {engine: engine{reasons: []string{"model a: no file"}}, change: (*Monitor).Loaded, want: Report{Status: Unready, Reasons: []string{"model a: no file"}}},
		"the GPU does not answer":              {checks: []Check{gpuGone}, change: (*Monitor).Loaded, want: Report{Unready, []string{"gpu: does not answer"}, true}},
		"the GPU works but cannot be reopened": {checks: []Check{func() Finding { return Finding{GPULost: true} }}, change: (*Monitor).Loaded, want: Report{Ready, []string{}, true}},
		"draining hides what is missing":       {engine: engine{reasons: []string{"x"}}, change: func(m *Monitor) { m.Loaded(); m.Drain() }, want: Report{Status: Draining, Reasons: []string{"the server is shutting down"}}},
		"draining before models are loaded":    {change: (*Monitor).Drain, want: Report{Status: Draining, Reasons: []string{"the server is shutting down"}}},
		"a lost device hides draining":         {engine: engine{broken: errors.New("cuda:0 is lost")}, change: (*Monitor).Drain, want: Report{Status: Broken, Reasons: []string{"cuda:0 is lost"}}},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMonitor(&test.engine, test.checks...)
			if test.change != nil {
				test.change(m)
			}
			got := m.Report()
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if got.Live() != (test.want.Status != Broken) || got.Ready() != (test.want.Status == Ready) {
				t.Errorf("live %v, ready %v in state %v", got.Live(), got.Ready(), got.Status)
			}
		})
	}
}

func TestBrokenIsLatched(t *testing.T) {
	e := &engine{broken: errors.New("cuda:0 is lost")}
	m, _ := newMonitor(e)
	m.Loaded()
	e.broken = errors.New("another")
	m.Report()
	e.broken = nil
	if got := m.Report(); got.Status != Broken || got.Reasons[0] != "cuda:0 is lost" || m.Err().Error() != "cuda:0 is lost" {
		t.Errorf("%+v after the engine recovered", got)
	}
}

func TestStateChangesAreLoggedOnce(t *testing.T) {
	e := &engine{}
	m, log := newMonitor(e)
	m.Report()
	m.Loaded()
	m.Report()
	e.reasons = []string{"model a: no file"}
	m.Report()
	m.Report()
	e.reasons = nil
	m.Report()
	m.Drain()
	m.Report()
	var got []string
	for line := range strings.Lines(log.String()) {
		_, states, _ := strings.Cut(line, " state=")
		got = append(got, strings.Join(strings.Fields(states)[:2], " "))
	}
	want := []string{"ready was=starting", "unready was=ready", "ready was=unready", "draining was=ready"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("logged %q, want %q", got, want)
	}
}

func TestLostGPUIsLoggedOnce(t *testing.T) {
	m, log := newMonitor(&engine{}, func() Finding { return Finding{GPULost: true} })
	m.Loaded()
	m.Report()
	m.Report()
	if n := strings.Count(log.String(), "GPU not reachable"); n != 1 {
		t.Errorf("logged %d times: %s", n, log)
	}
}

func TestHowLongAGPUIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		found := Finding{}
		m, _ := newMonitor(&engine{}, func() Finding { return found })
		expect := func(when string, want time.Duration) {
			t.Helper()
			if m.Report(); m.LostFor() != want {
				t.Errorf("%s: %s; want %s", when, m.LostFor(), want)
			}
		}
		m.Loaded()
		expect("with its GPU", 0)
		found = Finding{GPULost: true}
		expect("it cannot be opened again, but still works", 0)
		found.Reasons = []string{"gpu: lost"}
		expect("just lost", 0)
		time.Sleep(5 * time.Second)
		expect("lost for a while", 5*time.Second)
		found = Finding{Reasons: []string{"gpu: slow"}}
		expect("there, but not ready for another reason", 0)
		found.GPULost = true
		expect("lost again", 0)
		time.Sleep(time.Second)
		expect("lost again for a while", time.Second)
		m.Drain()
		expect("draining", 0)
	})
}

func TestReportAsJSON(t *testing.T) {
	m, _ := newMonitor(&engine{})
	m.Loaded()
	got, err := json.Marshal(m.Report())
	if want := `{"status":"ready","reasons":[]}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestWatchLogsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{}
		m, log := newMonitor(e)
		m.Loaded()
		ctx, cancel := context.WithCancel(t.Context())
		e.broken = errors.New("cuda:0 is lost")
		go m.Watch(ctx, time.Second)
		time.Sleep(1500 * time.Millisecond)
		cancel()
		synctest.Wait()
		if !strings.Contains(log.String(), "cuda:0 is lost") {
			t.Errorf("log: %s", log)
		}
	})
}

func TestSlowCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, answer := 0, error(nil)
		release := make(chan struct{})
		hang := false
		check := Cached("gpu", func(context.Context) error {
			calls++
			if hang {
				<-release
			}
			return answer
		}, 10*time.Second, 2*time.Second)
		expect := func(when string, wantCalls int, want ...string) {
			t.Helper()
			got := check().Reasons
			synctest.Wait()
			if !reflect.DeepEqual(got, want) || calls != wantCalls {
				t.Errorf("%s: got %q after %d calls, want %q after %d", when, got, calls, want, wantCalls)
			}
		}
		expect("first call waits for the answer", 1)
		expect("second call is answered from the first", 1)
		time.Sleep(5 * time.Second)
		expect("also once the result is older than the limit of a check", 1)
		time.Sleep(5 * time.Second)
		answer = errors.New("fell off the bus")
		expect("a stale answer is given while a fresh one is fetched", 2)
		expect("the fresh one is given next", 2, "gpu: fell off the bus")
		answer, hang = nil, true
		time.Sleep(10 * time.Second)
		expect("the check hangs, not yet too long", 3, "gpu: fell off the bus")
		time.Sleep(2 * time.Second)
		expect("the check hangs too long", 3, "gpu does not answer within 2s")
		time.Sleep(time.Minute)
		expect("no second check while one hangs", 3, "gpu does not answer within 2s")
		close(release)
		hang = false
		synctest.Wait()
		expect("the hanging check came back", 4)
	})
}

func TestSlowCheckOfALostGPU(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want Finding
	}{
		"well":     {nil, Finding{}},
		"fails":    {errors.New("out of memory"), Finding{Reasons: []string{"gpu: out of memory"}}},
		"lost":     {fmt.Errorf("%w: no such GPU", ErrGPULost), Finding{[]string{"gpu: this process has lost its GPU: no such GPU"}, true}},
		"works on": {fmt.Errorf("%w: permission denied", ErrGPUDetached), Finding{GPULost: true}},
	} {
		check := Cached("gpu", func(context.Context) error { return test.err }, time.Second, time.Minute)
		if got := check(); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
}

func TestFirstSlowCheckIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		check := Cached("gpu", func(context.Context) error { <-release; return nil }, time.Second, 2*time.Second)
		begin := time.Now()
		got := check()
		if took := time.Since(begin); took != 2*time.Second || len(got.Reasons) != 1 {
			t.Errorf("got %q after %s", got.Reasons, took)
		}
		close(release)
	})
}

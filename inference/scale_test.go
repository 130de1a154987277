package inference

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sleepingRun is how long a run of BenchmarkScale takes.
const sleepingRun = 20 * time.Millisecond

// BenchmarkScale shows what requests hold each other up on more cores than there are: runs sleep in the kernel instead of
// computing, as many at once as there are instances, of which each always has two requests. The metric %busy is the share of
// time in which instances run: 100 if nothing ever holds them up. With -mutexprofile it shows the contended locks.
func BenchmarkScale(b *testing.B) {
	for _, procs := range []int{8, 16} {
		for _, instances := range []int{4, 8, 16, 32, 64} {
			b.Run(fmt.Sprintf("procs=%d/instances=%d", procs, instances), func(b *testing.B) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				benchScale(b, instances)
			})
		}
	}
}

func benchScale(b *testing.B, instances int) {
	r := newRepository(b).define("colors", colors+"batching: {queue: 1000}\n").add("colors", 1, "colors")
	e := r.engine(func(c *Config) { c.Instances, c.Workers, c.ThreadsAlone = instances, instances+1, 1 })
	if err := e.Sync(context.Background()); err != nil {
		b.Fatal(err)
	}
	v := e.models["colors"].served[0]
	var slept atomic.Int64 // of all runs, in ns
	replaceRuns(v, func(_ context.Context, run func() error) error {
		began := time.Now()
		err := run()
		pause := unix.NsecToTimespec(int64(sleepingRun))
		_ = unix.Nanosleep(&pause, nil) // a signal may end it early
		slept.Add(int64(time.Since(began)))
		return err
	})
	row := make([]byte, v.plan.RowBytes())
	var left atomic.Int64
	left.Store(int64(b.N))
	var clients sync.WaitGroup
	b.ResetTimer()
	for range 2 * instances {
		clients.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := e.Predict(context.Background(), Request{Model: "colors", Row: row}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	elapsed := b.Elapsed()
	b.ReportMetric(100*float64(slept.Load())/float64(elapsed)/float64(instances), "%busy")
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "runs/s")
}

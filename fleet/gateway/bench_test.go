package gateway

import (
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// work returns a function that keeps a core busy like a model on the CPU, with a fixed amount of work, which other programs on
// the machine cannot reduce. Two calls run at a time, like on a machine with two cores.
func work(d time.Duration) func() {
	spin := func(rounds int) (sum uint64) {
		for i := range rounds {
			sum = sum*6364136223846793005 + uint64(i)
		}
		return sum
	}
	const rounds = 1 << 20
	least := time.Hour
	for range 20 {
		begin := time.Now()
		sink.Add(spin(rounds))
		least = min(least, time.Since(begin))
	}
	n := int(float64(rounds) * float64(d) / float64(least))
	workers := make(chan struct{}, 2)
	return func() {
		workers <- struct{}{}
		sink.Add(spin(n))
		<-workers
	}
}

var sink atomic.Uint64 // keeps the work from being optimized away

// processor returns the CPU time of this process.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// side is a way to reach a replica: directly or through the gateway.
type side struct {
	client *http.Client
	url    string
}

func (s side) send(b *testing.B, body string) {
	res, err := s.client.Post(s.url+"/predict", "image/jpeg", strings.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
		b.Errorf("%s %v", res.Status, err)
	}
	_ = res.Body.Close()
}

// saturate returns requests per second with enough clients to keep the replica busy.
func (s side) saturate(b *testing.B, body string, n int64) float64 {
	var left atomic.Int64
	left.Store(n)
	var wg sync.WaitGroup
	begin := time.Now()
	for range 16 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				s.send(b, body)
			}
		})
	}
	wg.Wait()
	return float64(n) / time.Since(begin).Seconds()
}

// times returns the median and 99th percentile latency of n requests at a fixed rate, in milliseconds, measured from when each
// was due.
func (s side) times(b *testing.B, body string, n int, rate float64) (p50, p99 float64) {
	times := make([]time.Duration, n)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range n {
		due := begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		wg.Go(func() {
			s.send(b, body)
			times[i] = time.Since(due)
		})
	}
	wg.Wait()
	slices.Sort(times)
	ms := func(i int) float64 { return times[i].Seconds() * 1e3 }
	return ms(n / 2), ms(n * 99 / 100)
}

// BenchmarkCost compares requests through the gateway with direct ones, alternately in one run: the ratio of requests per
// second, and what the gateway adds to the 99th percentile at half load. Client, gateway and replica share one process.
func BenchmarkCost(b *testing.B) {
	for _, c := range []struct {
		name    string
		replica func()
	}{
		{"replica that computes 2 ms", work(2 * time.Millisecond)},
		{"replica that waits 2 ms", func() { time.Sleep(2 * time.Millisecond) }},
		{"replica that answers at once", func() {}},
	} {
		for _, size := range []int{1 << 10, 100 << 10} {
			b.Run(c.name+", "+itoa(size>>10)+" KiB", func(b *testing.B) {
				answer := []byte(strings.Repeat("x", 600))
				r := server(b, "a", func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					c.replica()
					_, _ = w.Write(answer)
				})
				cost(b, r, strings.Repeat("x", size))
			})
		}
	}
}

// BenchmarkReal is BenchmarkCost with the replica at $FOVEA_REPLICA, as http://127.0.0.1:8000, and the image in
// the file $FOVEA_IMAGE. The replica's CPU time is not counted then.
func BenchmarkReal(b *testing.B) {
	url, file := os.Getenv("FOVEA_REPLICA"), os.Getenv("FOVEA_IMAGE")
	if url == "" || file == "" {
		b.Skip("no $FOVEA_REPLICA and $FOVEA_IMAGE to measure with")
	}
	img, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	cost(b, Replica{ID: "real", URL: url}, string(img))
}

// turns is how often each side is measured; figures are medians over pairs of neighboring turns.
const turns = 11

func cost(b *testing.B, r Replica, body string) {
	if b.N == 1 {
		return // a trial run of package testing
	}
	f := start(b, nil, r)
	direct, through := side{f.client, r.URL}, side{f.client, f.url}
	direct.saturate(b, body, 100)
	through.saturate(b, body, 100)
	b.ResetTimer()
	n := max(int64(b.N)/turns, 50)
	var d, g, ratios []float64
	var dCPU, gCPU time.Duration
	for range turns {
		t0 := processor()
		d = append(d, direct.saturate(b, body, n))
		t1 := processor()
		g = append(g, through.saturate(b, body, n))
		dCPU, gCPU = dCPU+t1-t0, gCPU+processor()-t1
		ratios = append(ratios, g[len(g)-1]/d[len(d)-1])
	}
	b.StopTimer()
	half := median(slices.Clone(d)) / 2
	var p50s, p99s, added50, added99 []float64
	for range turns {
		d50, d99 := direct.times(b, body, 500, half)
		g50, g99 := through.times(b, body, 500, half)
		p50s, p99s = append(p50s, d50), append(p99s, d99)
		added50, added99 = append(added50, g50-d50), append(added99, g99-d99)
	}
	b.ReportMetric(median(d), "direct/s")
	b.ReportMetric(median(g), "gateway/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(float64(dCPU.Microseconds())/float64(n*turns), "µs-cpu-direct")
	b.ReportMetric(float64((gCPU-dCPU).Microseconds())/float64(n*turns), "µs-cpu-added")
	b.ReportMetric(median(p50s), "ms-p50-direct")
	b.ReportMetric(median(added50), "ms-p50-added")
	b.ReportMetric(median(p99s), "ms-p99-direct")
	b.ReportMetric(median(added99), "ms-p99-added")
	b.ReportMetric(0, "ns/op")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// BenchmarkHash measures hashing a body of 100 KiB for the poison table, in chunks as it arrives.
func BenchmarkHash(b *testing.B) {
	piece := make([]byte, bufferSize)
	table := newPoisonTable(Defaults(), time.Now)
	b.SetBytes(100 << 10)
	for b.Loop() {
		body := newBody(nil, -1, table, &budget{})
		for left := 100 << 10; left > 0; left -= len(piece) {
			_, _ = body.hash.Write(piece[:min(left, len(piece))])
		}
		sink.Add(body.hash.Sum64())
	}
}

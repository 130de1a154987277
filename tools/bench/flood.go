package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// leastAnswered is the share of ordinary requests that must be answered while the costliest images are decoded.
const leastAnswered = 0.99

// floodOptions say where the costliest images are sent, and what beside them.
type floodOptions struct {
	url      string
	worst    int
	copies   int
	images   string
	rate     float64
	duration time.Duration
}

func (o *floodOptions) add(flags *flag.FlagSet) {
	flags.StringVar(&o.url, "url", "", "predict route of a server or gateway that gets the costliest images")
	flags.IntVar(&o.worst, "worst", 4, "how many different images that are")
	flags.IntVar(&o.copies, "copies", 4, "how often each of them is sent, all at once")
	flags.StringVar(&o.images, "images", "testdata/images", "folder of ordinary images")
	flags.Float64Var(&o.rate, "rate", 5, "ordinary images a second meanwhile")
	flags.DurationVar(&o.duration, "duration", 30*time.Second, "how long they are sent; the costliest are sent after two seconds")
}

// flood sends ordinary images at an even rate, and the costliest hostile ones in between, all at once. It fails when
// too few of the ordinary ones are answered.
func flood(ctx context.Context, o floodOptions, costs []cost, out io.Writer) error {
	images, err := images(o.images)
	if err != nil {
		return err
	}
	results := vegeta.NewAttacker(vegeta.Timeout(time.Minute)).
		Attack(targets(o.url, images), vegeta.Rate{Freq: int(math.Round(o.rate * 60)), Per: time.Minute}, o.duration, "")
	time.Sleep(2 * time.Second)
	hostile := costliest(costs, o.worst)
	var answers sync.Map
	var group sync.WaitGroup
	for _, c := range hostile {
		for range o.copies {
			group.Go(func() { count(&answers, send(ctx, o.url, c)) })
		}
	}
	var m vegeta.Metrics
	for r := range results {
		m.Add(r)
	}
	m.Close()
	group.Wait()
	fmt.Fprintf(out, "%d × %d of the costliest at once:", len(hostile), o.copies)
	answers.Range(func(answer, n any) bool {
		fmt.Fprintf(out, " %v × %d", answer, n.(*atomic.Int64).Load())
		return true
	})
	fmt.Fprintf(out, "\n%d ordinary requests meanwhile, %.1f a second: %.2f%% answered, %v, p50 %v, p95 %v, p99 %v, longest %v\n\n", m.Requests,
		o.rate, 100*m.Success, m.StatusCodes, m.Latencies.P50, m.Latencies.P95, m.Latencies.P99, m.Latencies.Max)
	if m.Success < leastAnswered {
		return fmt.Errorf("%.2f%% of the ordinary requests were answered, want %.0f%%", 100*m.Success, 100*leastAnswered)
	}
	return nil
}

func count(answers *sync.Map, answer string) {
	n, _ := answers.LoadOrStore(answer, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

// send posts an image and returns the answer's status, or the error.
func send(ctx context.Context, url string, c cost) string {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(c.data))
	if err != nil {
		return err.Error()
	}
	request.Header.Set("Content-Type", "application/octet-stream")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return err.Error()
	}
	return fmt.Sprint(response.StatusCode)
}

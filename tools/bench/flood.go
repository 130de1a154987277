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

// minAnswered is the share of ordinary requests that must succeed while the most expensive images are decoded.
const minAnswered = 0.99

// floodOptions configure a flood of the most expensive images.
type floodOptions struct {
	url      string
	worst    int
	copies   int
	images   string
	rate     float64
	duration time.Duration
}

func (o *floodOptions) add(flags *flag.FlagSet) {
	flags.StringVar(&o.url, "url", "", "predict route of a server or gateway that receives the most expensive images")
	flags.IntVar(&o.worst, "worst", 4, "number of different images in the flood")
	flags.IntVar(&o.copies, "copies", 4, "copies of each, all sent at once")
	flags.StringVar(&o.images, "images", "testdata/images", "folder of ordinary images")
	flags.Float64Var(&o.rate, "rate", 5, "ordinary images per second meanwhile")
	flags.DurationVar(&o.duration, "duration", 30*time.Second, "how long they are sent; the flood starts after two seconds")
}

// flood sends ordinary images at a constant rate and, all at once, the most expensive hostile ones. It fails if too few of
// the ordinary ones succeed.
func flood(ctx context.Context, o floodOptions, costs []cost, out io.Writer) error {
	images, err := images(o.images)
	if err != nil {
		return err
	}
	results := vegeta.NewAttacker(vegeta.Timeout(time.Minute)).
		Attack(targets(o.url, images), vegeta.Rate{Freq: int(math.Round(o.rate * 60)), Per: time.Minute}, o.duration, "")
	time.Sleep(2 * time.Second)
	hostile := mostExpensive(costs, o.worst)
	var answers sync.Map
	var group sync.WaitGroup
	for _, c := range hostile {
		for range o.copies {
			group.Go(func() { count(&answers, send(ctx, o.url, c)) })
		}
	}
	m := metricsOf(results)
	group.Wait()
	fmt.Fprintf(out, "%d × %d of the most expensive at once:", len(hostile), o.copies)
	answers.Range(func(answer, n any) bool {
		fmt.Fprintf(out, " %v × %d", answer, n.(*atomic.Int64).Load())
		return true
	})
	fmt.Fprintf(out, "\n%d ordinary requests meanwhile, %.1f per second: %.2f%% succeeded, %v, p50 %v, p95 %v, p99 %v, longest %v\n\n", m.Requests,
		o.rate, 100*m.Success, m.StatusCodes, m.Latencies.P50, m.Latencies.P95, m.Latencies.P99, m.Latencies.Max)
	if m.Success < minAnswered {
		return fmt.Errorf("%.2f%% of the ordinary requests succeeded, want %.0f%%", 100*m.Success, 100*minAnswered)
	}
	return nil
}

func count(answers *sync.Map, answer string) {
	n, _ := answers.LoadOrStore(answer, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

// send posts an image and returns the response's status, or the error.
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

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// images reads every JPEG, PNG, WebP and BMP of a folder, in the order of their names.
func images(dir string) ([][]byte, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	var found [][]byte
	for _, name := range names {
		switch strings.ToLower(filepath.Ext(name)) {
		case ".jpg", ".jpeg", ".png", ".webp", ".bmp":
			data, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			found = append(found, data)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no images in %s: need .jpg, .jpeg, .png, .webp or .bmp", dir)
	}
	return found, nil
}

// targets sends the images in turn to url.
func targets(url string, images [][]byte) vegeta.Targeter {
	return targetsWith(url, http.Header{}, images)
}

// targetsWith sends the images in turn to url, with a header.
func targetsWith(url string, header http.Header, images [][]byte) vegeta.Targeter {
	var next atomic.Uint64
	header.Set("Content-Type", "application/octet-stream")
	return func(t *vegeta.Target) error {
		image := images[next.Add(1)%uint64(len(images))]
		*t = vegeta.Target{Method: http.MethodPost, URL: url, Body: image, Header: header}
		return nil
	}
}

// closed keeps n requests in flight for d (closed loop); open sends rate requests per second for d (open loop).
func closed(n int, d time.Duration, t vegeta.Targeter) (vegeta.Metrics, error) {
	a := vegeta.NewAttacker(vegeta.Workers(uint64(n)), vegeta.MaxWorkers(uint64(n)), vegeta.Connections(n))
	return collect(a.Attack(t, vegeta.Rate{}, d, ""))
}

func open(rate float64, d time.Duration, t vegeta.Targeter) (vegeta.Metrics, error) {
	a := vegeta.NewAttacker(vegeta.Workers(16), vegeta.MaxWorkers(1024), vegeta.Connections(1024))
	return collect(a.Attack(t, vegeta.Rate{Freq: int(rate * 60), Per: time.Minute}, d, ""))
}

// collect fails if a request fails.
func collect(results <-chan *vegeta.Result) (vegeta.Metrics, error) {
	m := metricsOf(results)
	if m.Success < 1 {
		return m, fmt.Errorf("%.2f%% of the requests failed: %v %v", 100*(1-m.Success), m.StatusCodes, m.Errors)
	}
	return m, nil
}

func metricsOf(results <-chan *vegeta.Result) (m vegeta.Metrics) {
	for r := range results {
		m.Add(r)
	}
	m.Close()
	return m
}

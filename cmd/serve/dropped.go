package main

import (
	"fovea/internal/logging"

	"github.com/prometheus/client_golang/prometheus"
)

// droppedLines counts log lines that were dropped.
func droppedLines(lines *logging.Queue) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "fovea_log_dropped_total",
		Help: "Log lines dropped because the reader of standard error is too slow or gone."},
		func() float64 { return float64(lines.Dropped()) })
}

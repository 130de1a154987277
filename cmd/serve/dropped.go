package main

import (
	"fovea/internal/logging"

	"github.com/prometheus/client_golang/prometheus"
)

// droppedLines counts the lines of the log that nobody can read.
func droppedLines(lines *logging.Queue) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "fovea_log_dropped_total",
		Help: "Lines of the log that were dropped, because whoever reads it has stopped reading or is gone."},
		func() float64 { return float64(lines.Dropped()) })
}

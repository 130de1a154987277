package peers

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// format is the version of a result's JSON form.
const format = 2

// Result is the result of one run.
type Result struct {
	Format   int               `json:"format"`
	Started  time.Time         `json:"started"`
	Command  []string          `json:"command"`
	Machine  Machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Samples  []Sample          `json:"samples"`
}

// Machine is the measured machine.
type Machine struct {
	CPU       string `json:"cpu"`
	Cores     int    `json:"cores"` // that servers and load share
	MemoryMiB int64  `json:"memory_mib"`
	System    string `json:"system"`
	Kernel    string `json:"kernel"`
}

// Sample is one turn of one server in one cell.
type Sample struct {
	Cell      string  `json:"cell"`
	Server    string  `json:"server"`
	Round     int     `json:"round"`
	StartupMS float64 `json:"startup_ms"`
	PeakMiB   float64 `json:"peak_mib"` // proportional set size of all its processes
	Levels    []Level `json:"levels"`
}

// Level is one load: a concurrency, or a rate.
type Level struct {
	Concurrency int            `json:"concurrency,omitempty"`
	Rate        float64        `json:"rate,omitempty"` // requests per second
	Throughput  float64        `json:"throughput"`     // successful images per second
	P50MS       float64        `json:"p50_ms"`
	P99MS       float64        `json:"p99_ms"`
	CPUMS       float64        `json:"cpu_ms"` // user and system time of all the server's processes per image
	Requests    int            `json:"requests"`
	Failed      int            `json:"failed"`
	Failures    map[string]int `json:"failures,omitempty"`
}

// baselineKey names the baseline in samples. It has one level, of concurrency 0.
const baselineKey = "baseline"

func (r *Result) write(path string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// readResults reads and merges result files. All servers of a cell come from the same run, so that they are comparable: if
// several files contain a cell, the last one counts.
func readResults(paths []string) (*Result, error) {
	var merged *Result
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var r Result
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if r.Format != format || len(r.Samples) == 0 {
			return nil, fmt.Errorf("%s is not a result of bench peers in format %d", path, format)
		}
		if merged == nil {
			merged = &r
			continue
		}
		if r.Machine != merged.Machine {
			return nil, fmt.Errorf("%s comes from another machine: %+v and %+v", path, r.Machine, merged.Machine)
		}
		merged.Samples = slices.DeleteFunc(merged.Samples, func(s Sample) bool {
			return slices.ContainsFunc(r.Samples, func(o Sample) bool { return o.Cell == s.Cell })
		})
		merged.Samples = append(merged.Samples, r.Samples...)
		merged.Started, merged.Versions = r.Started, r.Versions
	}
	if merged == nil {
		return nil, errors.New("no result files given")
	}
	return merged, nil
}

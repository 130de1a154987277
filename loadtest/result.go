package loadtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// Format is the version of the result's JSON form.
const Format = 1

// maxResult bounds a result file, in bytes.
const maxResult = 64 << 20

// Result is the result of a load test. Times are in milliseconds where the key says so.
type Result struct {
	Format  int       `json:"format"`
	Label   string    `json:"label,omitempty"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"` // duration of the whole test
	Client  Machine   `json:"client"`
	Target  Target    `json:"target"`
	Load    Load      `json:"load"`
	Levels  []Level   `json:"levels"`
	Search  *Search   `json:"search,omitempty"`
	GPUs    []GPU     `json:"gpus,omitempty"`
	Notes   []string  `json:"notes,omitempty"` // what was not measured, and why
}

// Machine is the one that sent the load.
type Machine struct {
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	CPU   string `json:"cpu,omitempty"`
	Cores int    `json:"cores"`
}

// Target is what was measured.
type Target struct {
	URL     string `json:"url"`
	Model   string `json:"model,omitempty"`
	Version string `json:"version,omitempty"`
	Device  string `json:"device,omitempty"`
}

// Load is what was sent.
type Load struct {
	Images           int       `json:"images"`
	ImageBytes       float64   `json:"image_bytes"`        // mean
	Protocol         Protocol  `json:"protocol,omitempty"` // other than v1
	Input            InputKind `json:"input,omitempty"`    // other than encoded images
	Body             BodyKind  `json:"body,omitempty"`     // of protocol v1
	ImagesPerRequest int       `json:"images_per_request"`
	Arrivals         Arrivals  `json:"arrivals,omitempty"` // of open loops
	Seed             uint64    `json:"seed,omitempty"`
	WarmupMS         float64   `json:"warmup_ms"`
	WindowMS         float64   `json:"window_ms"`
	MaxWindows       int       `json:"max_windows"`
	Tolerance        float64   `json:"tolerance"`
	TimeoutMS        float64   `json:"timeout_ms"`
}

// Level is one concurrency or one rate. Its figures are those of its last three windows, except AllImages and Failures.
type Level struct {
	Concurrency int      `json:"concurrency,omitempty"` // closed loop
	Rate        float64  `json:"rate,omitempty"`        // open loop: requests due per second
	Purpose     string   `json:"purpose,omitempty"`     // of a level that belongs to the search
	Passed      *bool    `json:"passed,omitempty"`      // of a step of the search
	Stable      bool     `json:"stable"`
	Ended       string   `json:"ended"` // why the level ended
	Windows     []Window `json:"windows"`

	Throughput float64 `json:"throughput"` // successful images per second
	Images     int     `json:"images"`     // successful
	Requests   int     `json:"requests"`   // all of whose images were successful
	Failed     int     `json:"failed"`     // images
	Latency    Latency `json:"latency"`    // of requests
	LagP99MS   float64 `json:"lag_p99_ms"`

	// AllImages and Failures count the images of the whole level, from the warm-up to the last response.
	AllImages int            `json:"all_images,omitempty"` // successful
	Failures  map[string]int `json:"failures,omitempty"`   // by kind

	Server         *Server    `json:"server,omitempty"`
	GPUs           []GPULevel `json:"gpus,omitempty"`
	ImagesPerJoule *float64   `json:"images_per_joule,omitempty"` // by the energy of all GPUs
}

// Latency is the distribution of request latencies. In an open loop they count from when a request was due.
type Latency struct {
	MeanMS float64 `json:"mean_ms"`
	MinMS  float64 `json:"min_ms"`
	P50MS  float64 `json:"p50_ms"`
	P90MS  float64 `json:"p90_ms"`
	P95MS  float64 `json:"p95_ms"`
	P99MS  float64 `json:"p99_ms"`
	P999MS float64 `json:"p999_ms"`
	MaxMS  float64 `json:"max_ms"`
	// Curve is the latency at increasing percentiles, for a plot.
	Curve []Point `json:"curve,omitempty"`
}

// Point is a point of a latency curve.
type Point struct {
	Percentile float64 `json:"percentile"`
	MS         float64 `json:"ms"`
}

// Window is one measured span of a level.
type Window struct {
	StartSeconds float64 `json:"start_s"` // from the start of the level's load
	Seconds      float64 `json:"seconds"`
	Throughput   float64 `json:"throughput"`
	P50MS        float64 `json:"p50_ms"`
	P99MS        float64 `json:"p99_ms"`
	Failed       int     `json:"failed"`
}

// Server holds the server's metrics over the same windows.
type Server struct {
	Stages        []Stage  `json:"stages,omitempty"`
	BatchMean     float64  `json:"batch_mean,omitempty"`
	Batches       []Batch  `json:"batches,omitempty"`
	CPUMSPerImage *float64 `json:"cpu_ms_per_image,omitempty"`
	ResidentBytes *float64 `json:"resident_bytes,omitempty"` // at the end
}

// Stage is one processing stage. Quantiles are estimated from the buckets of the server's histogram.
type Stage struct {
	Name   string  `json:"name"`
	MeanMS float64 `json:"mean_ms"`
	P50MS  float64 `json:"p50_ms"`
	P99MS  float64 `json:"p99_ms"`
}

// Batch counts the batches of at most UpTo images and more than the previous bound; 0: unbounded.
type Batch struct {
	UpTo  float64 `json:"up_to"`
	Count float64 `json:"count"`
}

// Search is the search for the highest rate whose p99 stays below a limit.
type Search struct {
	P99BelowMS  float64 `json:"p99_below_ms"`
	Rate        float64 `json:"rate"`                  // requests per second; 0: none passed
	Level       int     `json:"level"`                 // index in Levels; -1: none
	Interrupted bool    `json:"interrupted,omitempty"` // it might have found a higher rate
}

// Write writes the result as JSON.
func (r *Result) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Read reads and validates a result file.
func Read(in io.Reader) (*Result, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxResult+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxResult {
		return nil, fmt.Errorf("longer than %d MiB", maxResult>>20)
	}
	var r Result
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("not a result of loadtest: %w", err)
	}
	if r.Format != Format {
		return nil, fmt.Errorf("not a result of loadtest in format %d: it has format %d", Format, r.Format)
	}
	if len(r.Levels) == 0 {
		return nil, errors.New("the result has no levels")
	}
	if r.Search != nil && (r.Search.Level < -1 || r.Search.Level >= len(r.Levels)) {
		return nil, fmt.Errorf("the search's level %d is not in the result", r.Search.Level)
	}
	for i, l := range r.Levels {
		if (l.Concurrency > 0) == (l.Rate > 0) {
			return nil, fmt.Errorf("level %d must have either a positive concurrency or a positive rate", i)
		}
		if l.Throughput < 0 || l.Images < 0 || l.Failed < 0 || l.AllImages < 0 {
			return nil, fmt.Errorf("level %d has a negative count", i)
		}
	}
	return &r, nil
}

// AllFailed returns the number of failed images in the whole level.
func (l Level) AllFailed() int {
	total := 0
	for _, n := range l.Failures {
		total += n
	}
	return max(total, l.Failed)
}

// ErrorRate returns the share of failed images, in the figures or in the whole level, whichever is greater.
func (l Level) ErrorRate() float64 {
	return max(failedShare(l.Failed, l.Images), failedShare(l.AllFailed(), max(l.AllImages, l.Images)))
}

func failedShare(failed, successful int) float64 {
	if failed+successful == 0 {
		return 0
	}
	return float64(failed) / float64(failed+successful)
}

// Name returns the level's load, such as "concurrency 8" or "rate 120".
func (l Level) Name() string {
	if l.Concurrency > 0 {
		return fmt.Sprintf("concurrency %d", l.Concurrency)
	}
	return fmt.Sprintf("rate %g", l.Rate) // not rounded: levels are compared by name
}

func ms(d time.Duration) float64 { return round(d.Seconds() * 1000) }

// round keeps five significant digits, more than a measurement has.
func round(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	scale := math.Pow(10, 4-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// Package health determines the health and readiness of the server: whether the process needs a restart (/health), whether
// it may get requests (/ready), and why not.
package health

// State is the state of the server. Of several that apply, the last of the constants is reported.
type State string

// The states.
const (
	Ready    State = "ready"    // every required part works
	Unready  State = "unready"  // live, but should not get requests; may recover
	Starting State = "starting" // models are being loaded for the first time
	Draining State = "draining" // shutting down: accepted requests are finished, no more should come
	Broken   State = "broken"   // an error that requires a restart; never left
)

// Report is the state with its reasons, as in the responses of /health and /ready.
type Report struct {
	Status  State    `json:"status"`
	Reasons []string `json:"reasons"` // empty when ready
	// GPULost: this process can no longer reach its GPU, as after systemd's daemon-reload on some hosts. Whether the GPU
	// itself works can only be checked outside the container; if it does, a new container can use it. The server may still
	// be ready: what it has opened keeps working.
	GPULost bool `json:"gpu_lost,omitempty"`
}

// Live reports whether the process works, or can recover by itself.
func (r Report) Live() bool { return r.Status != Broken }

// Ready reports whether the server may get requests.
func (r Report) Ready() bool { return r.Status == Ready }

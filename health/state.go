// Package health determines the health and readiness of the server: whether the process needs a restart (/health), whether
// it may get requests (/ready), and why not.
package health

// State is the state of the server. Of several that apply, the highest is reported.
type State int

// The states.
const (
	Ready    State = iota // every required part works
	Unready               // live, but should not get requests; may recover
	Starting              // models are being loaded for the first time
	Draining              // shutting down: accepted requests are finished, no more should come
	Broken                // an error that requires a restart; never left
)

// String returns the state's name in responses and in the log.
func (s State) String() string {
	switch s {
	case Ready:
		return "ready"
	case Unready:
		return "unready"
	case Starting:
		return "starting"
	case Draining:
		return "draining"
	case Broken:
		return "broken"
	}
	return "unknown"
}

// MarshalText encodes the state as its name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

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

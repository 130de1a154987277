// Package health says whether the server can serve, and why not: live, ready, draining, and the latch for a fault
// that only a restart mends.
package health

// State is what the server is at one moment. Its order is that of rising strength: a later state hides an earlier.
type State int

// The states.
const (
	Ready    State = iota // every required part answers
	Unready               // alive, with reasons not to be sent traffic; may recover
	Starting              // models are being loaded for the first time
	Draining              // shutting down: accepted requests are answered, no more should come
	Broken                // a fault that only a restart mends; never left
)

// String returns the state's name as it appears in answers and in the log.
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

// MarshalText makes the name the state's form in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Report is the state with its reasons, in the form that /health and /ready answer.
type Report struct {
	Status  State    `json:"status"`
	Reasons []string `json:"reasons"` // empty when ready
	// GPULost: this process does not reach its GPU any more, as after systemd's daemon-reload on some hosts. Whether the
	// GPU itself is well can be seen from outside alone; if it is, a new container has it again. A server may be ready with
	// it: what is open works on.
	GPULost bool `json:"gpu_lost,omitempty"`
}

// Live says whether the process can serve, or can recover by itself.
func (r Report) Live() bool { return r.Status != Broken }

// Ready says whether traffic should come.
func (r Report) Ready() bool { return r.Status == Ready }

package fleet

import "fmt"

// State is the state of a placement, and of its replica while there is one.
type State int

// The states.
const (
	Waiting     State = iota // no replica yet
	Creating                 // the container is being created
	Starting                 // the container is running and has not been ready yet
	Ready                    // receives requests
	Unready                  // alive and ready before, but not now; receives no requests
	Draining                 // finishes accepted requests and receives no new ones
	Stopping                 // the container is being stopped and removed
	Backoff                  // waits for its next restart
	Failed                   // not restarted until a rollout or resume
	Stuck                    // the engine could not stop or remove the container; retried from time to time
	Quarantined              // its GPU is quarantined
	Drained                  // its GPU was drained manually
)

var stateNames = [...]string{
	"waiting", "creating", "starting", "ready", "unready", "draining", "stopping", "backoff", "failed", "stuck",
	"quarantined", "drained",
}

// String returns the name of the state, in lower case.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return stateNames[s]
}

// MarshalText implements encoding.TextMarshaler.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("unknown state %q", text)
}

// endCause is why a replica is being terminated.
type endCause int

const (
	notEnding       endCause = iota
	endPlanned               // drain, rollout or shutdown
	endFailure               // exited or failed its checks; counted as a failure, restarted with backoff
	endFatal                 // restarting would fail the same way; never restarted
	endGPULost               // lost access to a GPU that is healthy; counted as a failure
	endUnresponsive          // answered no prediction, like all others, so load may be the reason; restarted with backoff, never fatal
	endEngineError           // an engine call failed; says nothing about the replica
)

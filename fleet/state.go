package fleet

import "fmt"

// State is what a place in the fleet is at, which is its replica's state while there is one.
type State int

// The states.
const (
	Waiting     State = iota // nothing is there yet
	Creating                 // the engine was asked for a container
	Starting                 // the container runs and was never ready
	Ready                    // gets requests
	Unready                  // alive, and was ready before; gets no requests
	Draining                 // gets no more requests; those in flight are answered
	Stopping                 // the engine was asked to stop and remove the container
	BackOff                  // ended; waits for its next try
	Failed                   // failed for good: only a roll-out or resume tries again
	Stuck                    // the engine could not stop or remove it; it is asked again from time to time
	Quarantined              // its GPU is sick
	Drained                  // its GPU was drained by hand
)

var stateNames = [...]string{
	"waiting", "creating", "starting", "ready", "unready", "draining", "stopping", "backoff", "failed", "stuck",
	"quarantined", "drained",
}

// String names the state, in lower case.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("state %d", int(s))
	}
	return stateNames[s]
}

// MarshalText makes the name the state's form in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no state", text)
}

// end is why a replica's life ends.
type endCause int

const (
	notEnding       endCause = iota
	endPlanned               // on purpose
	endFailure               // it ended or fell ill; counted, and tried again after a pause
	endFatal                 // of a cause that trying again does not mend
	endGPULost               // it lost its GPU, which is well; counted like a fault
	endUnresponsive          // it answered nothing, as the others did: perhaps for load; tried again after a pause, and never failed for good
	endEngineError           // the engine could not do what was asked; says nothing of the replica
)

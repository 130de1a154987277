package fleet

// State is the state of a placement, and of its replica while there is one.
type State string

// The states.
const (
	Waiting     State = "waiting"     // no replica yet
	Creating    State = "creating"    // the container is being created
	Starting    State = "starting"    // the container is running and has not been ready yet
	Ready       State = "ready"       // receives requests
	Unready     State = "unready"     // alive and ready before, but not now; receives no requests
	Draining    State = "draining"    // finishes accepted requests and receives no new ones
	Stopping    State = "stopping"    // the container is being stopped and removed
	Backoff     State = "backoff"     // waits for its next restart
	Failed      State = "failed"      // not restarted until a rollout or resume
	Stuck       State = "stuck"       // the engine could not stop or remove the container; retried from time to time
	Quarantined State = "quarantined" // its GPU is quarantined
	Drained     State = "drained"     // its GPU was drained manually
)

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

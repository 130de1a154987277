package fleet

import (
	"time"

	"fovea/docker"
	"fovea/fleet/gateway"
	"fovea/gpu"
)

// life numbers the replicas of a supervisor's run, so that an answer about one that is gone is known as such.
type instanceID int

// action is something that the machine wants done. Each is answered by an observation.
type action interface{ isAction() }

type (
	// create makes and starts a container; answered by created.
	create struct {
		instanceID instanceID
		spec       docker.Spec
	}
	// probe asks a replica for its health; answered by probed.
	probe struct {
		instanceID instanceID
		url        string
	}
	// predict has a replica answer an image; answered by predicted.
	predict struct {
		instanceID instanceID
		url        string
	}
	// drain waits until a replica has no requests in flight, or the limit is over; answered by drained.
	drain struct {
		instanceID instanceID
		id         string
		limit      time.Duration
	}
	// remove takes a container away, if it is the fleet's; answered by removed.
	remove struct {
		instanceID instanceID
		ref        string // ID, or name where the ID is not known
		grace      time.Duration
	}
	// removeExtra takes a container of the fleet away for which there is no place; answered by removedExtra.
	removeUnplaced struct {
		id    string
		grace time.Duration
	}
	// look lists the containers; answered by listed.
	listContainers struct{}
	// lookGPUs reads the GPUs as they are now; answered by inventory.
	readGPUs struct{}
)

func (create) isAction()         {}
func (probe) isAction()          {}
func (predict) isAction()        {}
func (drain) isAction()          {}
func (remove) isAction()         {}
func (removeUnplaced) isAction() {}
func (listContainers) isAction() {}
func (readGPUs) isAction()       {}

// observation is something that was seen.
type observation interface{ isObservation() }

type (
	created struct {
		instanceID instanceID
		container  string
		url        string
		err        error
		cause      endCause // with err: what it means for the replica
	}
	probed struct {
		instanceID instanceID
		health     verdict // of /health
		ready      verdict // of /ready
		reason     string  // why not
		lost       bool    // it says that it does not reach its GPU any more
	}
	predicted struct {
		instanceID instanceID
		verdict    verdict
		reason     string
	}
	// traffic is how requests ended at the gateway's replicas.
	traffic struct{ replicas []gateway.Status }
	drained struct {
		instanceID instanceID
		err        error // not all requests ended
	}
	removed struct {
		instanceID instanceID
		logs       []string // the container's last lines
		err        error
	}
	removedUnplaced struct {
		id  string
		err error
	}
	// listed is all containers of the fleet, as they were at some time after since.
	listed struct {
		since      time.Duration
		containers []container
		err        error
	}
	// seen is one container, as it is now.
	seen struct{ container container }
	// gpuEvent is news of a GPU.
	gpuEvent struct {
		event gpu.Event
		wall  time.Time
	}
	// inventory is the GPUs as they were at some time after since.
	inventory struct {
		since   time.Duration
		devices []gpu.Device
		wall    time.Time
		err     error
	}
)

func (created) isObservation()         {}
func (probed) isObservation()          {}
func (predicted) isObservation()       {}
func (traffic) isObservation()         {}
func (drained) isObservation()         {}
func (removed) isObservation()         {}
func (removedUnplaced) isObservation() {}
func (listed) isObservation()          {}
func (seen) isObservation()            {}
func (gpuEvent) isObservation()        {}
func (inventory) isObservation()       {}

// verdict is what a question to a replica gave.
type verdict int

const (
	inconclusive verdict = iota // no answer, or one that says nothing of the replica
	good
	bad  // the replica itself says no
	late // no answer in time, for which its load may be to blame; of predictions alone
)

// container is one of the fleet, as the engine sees it.
type container struct {
	id, name   string
	place      string
	generation int
	hash       string
	running    bool
	paused     bool
	exitCode   int
	oom        bool
	reason     string // the engine's own, if it could not start
	url        string
}

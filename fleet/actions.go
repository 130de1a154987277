package fleet

import (
	"context"
	"time"

	"fovea/docker"
	"fovea/fleet/gateway"
	"fovea/gpu"
)

// replicaSeq numbers replicas within one run of the supervisor, so that late observations of a replica that is gone are
// recognized.
type replicaSeq int

// action is something the state machine wants done. The result of each comes back as an observation.
type action interface {
	perform(context.Context, *Supervisor) observation
}

type (
	// create creates and starts a container; the result is created.
	create struct {
		seq  replicaSeq
		spec docker.Spec
	}
	// probe requests a replica's /health and /ready; the result is probed.
	probe struct {
		seq replicaSeq
		url string
	}
	// predict sends a canary to a replica; the result is predicted.
	predict struct {
		seq replicaSeq
		url string
	}
	// drain waits until a replica has no requests in flight, up to the limit; the result is drained.
	drain struct {
		seq   replicaSeq
		id    string
		limit time.Duration
	}
	// remove stops and removes a container that belongs to the fleet; the result is removed.
	remove struct {
		seq   replicaSeq
		ref   string // ID, or name if the ID is unknown
		grace time.Duration
	}
	// removeUnplaced removes a container of the fleet that has no placement; the result is removedUnplaced.
	removeUnplaced struct {
		id    string
		grace time.Duration
	}
	// listContainers lists the fleet's containers; the result is listed.
	listContainers struct{}
	// readGPUs reads the current state of all GPUs; the result is inventory.
	readGPUs struct{}
)

// observation is an input of the state machine. Those about replicas that are gone are ignored.
type observation interface{ apply(*machine) }

type (
	created struct {
		seq       replicaSeq
		container string
		url       string
		grpc      string // its address for gRPC; empty: none
		err       error
		cause     endCause // what err means for the replica
	}
	probed struct {
		seq    replicaSeq
		health verdict // of /health
		ready  verdict // of /ready
		reason string  // why it is not healthy or not ready
		lost   bool    // the replica reports that it cannot access its GPU
	}
	predicted struct {
		seq     replicaSeq
		verdict verdict
		reason  string
	}
	// traffic is how requests ended, for each backend of the gateway.
	traffic struct{ replicas []gateway.Status }
	drained struct {
		seq replicaSeq
		err error // some requests did not finish
	}
	removed struct {
		seq  replicaSeq
		logs []string // last lines of the container
		err  error
	}
	removedUnplaced struct {
		id  string
		err error
	}
	// listed is all containers of the fleet, read at some time after since.
	listed struct {
		since      time.Duration
		containers []container
		err        error
	}
	// seen is the current state of one container.
	seen struct{ container container }
	// gpuEvent is an event from the driver.
	gpuEvent struct {
		event gpu.Event
		wall  time.Time
	}
	// inventory is all GPUs, read at some time after since.
	inventory struct {
		since   time.Duration
		devices []gpu.Device
		wall    time.Time
		err     error
	}
)

func (o created) apply(m *machine) {
	if m.replica(o.seq) == nil {
		m.requestList() // The container may exist and belong to no replica.
	}
	m.update(o.seq, func(r *replica) { r.created(o) })
}
func (o probed) apply(m *machine)    { m.update(o.seq, func(r *replica) { r.probed(o) }) }
func (o predicted) apply(m *machine) { m.update(o.seq, func(r *replica) { r.predicted(o) }) }
func (o drained) apply(m *machine)   { m.update(o.seq, func(r *replica) { r.drained(o) }) }
func (o removed) apply(m *machine)   { m.update(o.seq, func(r *replica) { r.removed(o) }) }
func (o seen) apply(m *machine)      { m.seen(o.container, m.now) }

// verdict is the result of a probe or canary.
type verdict int

const (
	inconclusive verdict = iota // no response, or one that says nothing about the replica
	good
	bad  // the replica reports its own failure
	late // no response in time, possibly because of load; canaries only
)

// container is a container of the fleet, as reported by the Docker engine.
type container struct {
	id, name   string
	placement  string
	generation int
	hash       string
	running    bool
	paused     bool
	exitCode   int
	oom        bool
	reason     string // why the Docker engine could not start it
	url        string
	grpc       string // its address for gRPC; empty: none
}

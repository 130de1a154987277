// Package fleet is the supervisor: it keeps the replicas of a fleet running, one or more on each GPU or some on the
// CPU. It probes replicas, watches containers and GPUs, restarts failed replicas with backoff, quarantines GPUs, rolls
// out new generations without losing a request, and tells the gateway which replicas are its backends.
//
// All decisions are made by one state machine without I/O and without a clock: it takes the time and observations, and
// returns actions. The Supervisor makes the observations and performs the actions.
//
// States of a placement:
//
//	waiting ──► creating ──► starting ──► ready ◄──► unready
//	   ▲            │            │          │ planned   │ planned
//	   │            │            │          ▼           │
//	   │            │            │       draining ◄─────┤
//	   │            ▼            ▼          ▼           ▼
//	backoff ◄─────────────── stopping ──► stuck: the Docker engine cannot remove the container
//	   │
//	   └──► failed: too many failures, or a fatal one
//
// A replica is declared dead in replica.go, by probes and canaries; in outlier.go, by its requests; and in reconcile.go,
// when its container has exited.
package fleet

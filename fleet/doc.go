// Package fleet is the supervisor: it keeps the replicas of a fleet running, one or more on each GPU or some on the
// CPU. It probes replicas, watches containers and GPUs, restarts failed replicas with backoff, quarantines GPUs, rolls
// out new generations without losing a request, and tells the gateway which replicas are its backends.
//
// All decisions are made by one state machine without I/O and without a clock: it takes the time and observations, and
// returns actions. The Supervisor makes the observations and performs the actions.
package fleet

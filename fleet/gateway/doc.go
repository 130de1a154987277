// Package gateway is the single address in front of a fleet: an HTTP reverse proxy whose load balancer sends each request to
// the ready backend with the fewest requests in flight. A backend is a replica as the gateway sees it.
//
// Bodies are streamed in both directions. The part already sent is also kept, within Config.ReplayMemory, until the response
// begins, so that a request can be retried on another backend when the first one refuses the connection, closes it, responds
// with 502 or 503, or is unresponsive for Config.UnresponsiveAfter. A request that may already have run is retried once at most,
// which is safe because predictions have no side effects.
//
// A request whose backend was lost may be a poison request. It is retried only while at least two other backends are
// ready, one such request at a time, and rejected after Config.PoisonThreshold losses.
//
// The caller decides which replicas are ready and passes them to Balancer.Set.
package gateway

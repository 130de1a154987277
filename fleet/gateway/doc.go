// Package gateway is the one address in front of a fleet's replicas: an HTTP reverse proxy that gives each request
// to the ready replica with the fewest requests in flight.
//
// Bodies are streamed both ways. What was sent of one is also kept, within Config.ReplayMemory, until its answer begins, so
// that a request whose replica did not answer is given to another: one that took no connection, closed it, answers 502 or
// 503, or gives no sign of life for Config.StallTimeout. A request that may have been run is given to one more at most,
// which is safe, since a prediction changes nothing. Where a replica was lost with the whole body, that body may be to blame:
// it is given to another only while one more stands ready, one such request at a time, and refused once it took two replicas
// with it (see Config.PoisonThreshold).
//
// Who is ready is decided elsewhere and said to Balancer.
package gateway

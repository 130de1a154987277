// Package gateway is the one address in front of a fleet's replicas: an HTTP reverse proxy that gives each request
// to the ready replica with the fewest requests in flight.
//
// Bodies are streamed both ways and never held whole. A request that found no connection is tried once on another
// replica; one of which a byte was written may have been run and is never tried again, so a picture that kills a
// replica is not fed to the rest. The same picture sent again by a client is refused after it took two replicas
// with it (see Config.KillerStrikes).
//
// Who is ready is decided elsewhere and said to Pool.
package gateway

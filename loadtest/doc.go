// Package loadtest measures a server of images from outside: it sends images at a fixed concurrency (closed loop) or
// at a fixed rate (open loop), checks every answer, watches until the figures are stable, and tells what the server and
// the GPUs did meanwhile. Requests are sent by vegeta; latencies are kept in HdrHistograms.
//
// A load test is made in two steps, so that mistakes are told before any load is sent: Prepare reads the images and
// asks the server, Plan.Run sends the load.
package loadtest

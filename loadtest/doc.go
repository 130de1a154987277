// Package loadtest measures an image server from outside: it sends images at a fixed concurrency (closed loop) or a fixed
// rate (open loop), checks every response, measures each level in windows until these are stable, and reports what the
// server and the GPUs did meanwhile. vegeta sends the requests; HdrHistograms hold the latencies.
//
// A load test has two steps, so that errors are reported before any load is sent: Prepare reads the images and queries the
// server, Plan.Run sends the load.
package loadtest

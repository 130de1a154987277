// Package pairs compares variants of the server in interleaved rounds: builds, settings, one process or several. Each
// round restarts every variant and measures it under the same load, in an order that alternates, so that changes in the
// machine's speed affect all alike. What counts is the ratio within a round. It is the core of `bench counters` and `bench guard`.
package pairs

// Package peers compares Fovea with FastAPI, LitServe, BentoML and mosec: each server runs in its own process tree on the same
// cores, with the same weights and images, under the load of package loadtest. The servers take turns, so that changes in
// the machine's speed affect all alike. Their programs are in servers/.
package peers

// Package peers measures Fovea against the servers that people use otherwise: FastAPI, LitServe and BentoML, each in its
// own process tree on the same cores, with the same weights and images, and under the load of package loadtest. The
// servers take turns, so that a machine that changes its speed meets all alike. Their programs are in servers/.
package peers

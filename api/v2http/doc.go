// Package v2http is the codec of the Open Inference Protocol over HTTP: requests for inference, as JSON alone or JSON followed by
// binary tensors, and their responses. It does no I/O.
package v2http

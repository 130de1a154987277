// Package api is the HTTP API of the server: routes, the formats of requests and responses, error responses, metrics and the
// OpenAPI document that describes them.
//
// A request for predictions passes these steps: its headers are checked (media type, length, model) → it is admitted, or
// refused with 429 before its body is read → the body is read into pooled buffers, within a time limit and the read-ahead →
// the engine predicts all images concurrently → the predictions are written in the order of the images.
package api

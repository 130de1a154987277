// Package api is Fovea over HTTP: its routes, the forms of requests and answers, errors, metrics and the OpenAPI
// document that describes them.
//
// The way of a request for predictions: its headers are judged (media type, length, model) → it is admitted or
// refused with 429, before its body is read → the body is read into pooled buffers within a time limit → the
// images go to the engine, all at once → their answers are written in the order of the request.
package api

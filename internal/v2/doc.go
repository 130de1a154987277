// Package v2 serves models by the Open Inference Protocol, version 2, which KServe and Triton speak. It is what HTTP and gRPC have in
// common: which models there are, their tensors and configurations, requests with tensors, and statistics. The codecs above it only
// turn messages into a Request, and a Response into messages.
//
// A model M of the repository has the tensors of its ONNX file. If it has a task, its image view, named M.image, takes encoded
// images and returns predictions as tensors (view.go).
//
// Every error of this package is an *apierror.Error.
package v2

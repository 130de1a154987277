// Package v2grpc is the Open Inference Protocol over gRPC: the codec and the server. The messages are in package pb.
//
// A gRPC server of google.golang.org/grpc runs inside an HTTP server of Fovea's own (grpc.Server.ServeHTTP), so that gRPC has the same
// limits on headers, streams and connections as HTTP, and each message is admitted and counted as a body is, from its first bytes on.
// Calls of ModelInfer without compression are answered without it (infer.go), so that tensors are not copied on their way.
package v2grpc

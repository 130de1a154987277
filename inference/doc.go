// Package inference serves the models of a repository: it loads, tests, replaces and unloads their versions (Engine.Sync),
// and predicts the classes or objects of images (Engine.Predict).
//
// An image passes the version's bounded queue, waits for a slot of its batcher, and is decoded by a worker straight into
// the input tensor of a batch. Outputs are decoded where they lie. Nothing is copied between the decoded image and the
// input tensor, nor between the output tensors and the prediction.
package inference

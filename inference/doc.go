// Package inference makes models ready to answer and answers with them: it leases rows of preallocated batch
// tensors to requests, runs the batches on instances, and loads, swaps and unloads models.
//
// The way of an image: a bounded queue (admission) → a ticket of the version's scheduler → a worker →
// a row of the batch that is filling, which the image is packed straight into → a run → the answer, read
// from the row where it lies. Nothing is copied between the decoded image and the tensor, nor between the
// outputs and the answer.
package inference

// Package verify compares a model's predictions with those that its exporter's own program made of the same images, and finds
// the key of a definition that makes them differ. It reads predictions in the formats of other programs (expected.go), compares
// them (compare.go), and tries changes of the definition one at a time (change.go, search.go). It is pure Go; the caller
// predicts.
package verify

import "math"

// Class is a class and its score.
type Class struct {
	Number int     // counted from the first label; -1: unknown
	Label  string  // empty: unknown
	Score  float64 // 0 to 1; NaN: unknown
}

// Box is an object. Corners are pixels of the orientation-corrected image, or fractions of it where Answer.Unit says so.
type Box struct {
	Class
	X1, Y1, X2, Y2 float64
}

// Answer is the prediction for one image: classes, best first, or boxes in any order.
type Answer struct {
	Classes       []Class
	Boxes         []Box
	Unit          bool // corners are fractions of the image
	Width, Height int  // of the image in pixels; 0: unknown
}

// unknown is the score of a format without scores.
var unknown = math.NaN()

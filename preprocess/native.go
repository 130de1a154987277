package preprocess

import (
	"sync/atomic"

	"gocv.io/x/gocv"
)

// live counts the native matrices that are open.
var live atomic.Int64

// Live returns how many native values are alive: 0 once every Image is closed.
func Live() int64 { return live.Load() }

// native is an OpenCV matrix and its only owner. It is always a new one: a matrix that is used again would keep
// one user's image when the decoding of the next one fails.
type native struct{ gocv.Mat }

func newNative() native { return own(gocv.NewMat()) }

func own(m gocv.Mat) native {
	live.Add(1)
	return native{m}
}

// free closes the matrix; a second call does nothing.
func (n *native) free() {
	if n.Ptr() == nil {
		return
	}
	_ = n.Close() // always nil
	live.Add(-1)
}

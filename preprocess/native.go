package preprocess

import (
	"sync/atomic"

	"gocv.io/x/gocv"
)

// live counts the open native matrices.
var live atomic.Int64

// Live returns the number of open native matrices: 0 once every Image is closed. Tests use it to find leaks.
func Live() int64 { return live.Load() }

// native is an OpenCV matrix and its only owner. Matrices are not reused: one would still hold another request's image
// after a failed decode.
type native struct{ gocv.Mat }

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

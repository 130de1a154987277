package batcher

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"fovea/postprocess"
)

// handleState is how far a request has come.
type handleState uint8

const (
	handleWaiting   handleState = iota // for a slot
	handleSlotted                      // may take a row
	handlePacking                      // writes its row
	handleCommitted                    // its row is to run, runs, or has run
	handleReleased
)

// Handle is the way of one image through the batcher; see the package comment. It belongs to one goroutine.
type Handle struct {
	b         *Batcher
	group     *Group
	state     handleState
	granted   chan struct{} // closed when a slot is granted
	batch     *batch
	row       int
	committed time.Time
}

// grant gives a slot to the handle. The caller holds mu.
func (h *Handle) grant(g *Group) {
	g.slots--
	h.group, h.state = g, handleSlotted
}

// Group is the group that the slot is of.
func (h *Handle) Group() *Group { return h.group }

// Rows is how many rows of requests ran in the row's batch, and leads whether this row is the first of them. They are known
// after Wait has returned nil.
func (h *Handle) Rows() (n int, leads bool) {
	return h.batch.used, h.row == h.batch.first
}

// Device is the device that the image will run on.
func (h *Handle) Device() string { return h.group.cfg.Device }

// Input is the memory of one input for this image, to be written before Commit. The first call takes a row, without
// waiting; its batch then waits for Commit or Release, so decode before.
func (h *Handle) Input(input int) []byte {
	if h.state == handleSlotted {
		h.takeRow()
	}
	return h.batch.runner.Input(input, h.row)
}

// Reshape sets the shape of an input of open size for this image, before Input and in batches of one row only. It takes a row
// as Input does.
func (h *Handle) Reshape(input int, shape []int64) error {
	if rows := h.group.rows(); rows != 1 {
		return fmt.Errorf("batches of %d rows cannot take images of different sizes", rows)
	}
	if h.state == handleSlotted {
		h.takeRow()
	}
	return h.batch.runner.Reshape(input, shape)
}

func (h *Handle) takeRow() {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	batch, i := h.group.row()
	h.b.delay(batch)
	batch.take(i)
	h.batch, h.row, h.state = batch, i, handlePacking
}

// Tag notes what others in the batch see of this request in Others. It is called between Input and Commit.
func (h *Handle) Tag(tag any) {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	h.batch.rows[h.row].tag = tag
}

// Others are the tags of the other requests in the run. They are known from the end of Wait until Release.
func (h *Handle) Others() (tags []any) {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	for i, r := range h.batch.rows {
		if i != h.row && r.tag != nil {
			tags = append(tags, r.tag)
		}
	}
	return tags
}

// Started is when the run began. It is known from the end of Wait until Release.
func (h *Handle) Started() time.Time { return h.batch.started }

// Submit has a run of the request's own take the place of a row: r runs, with one row, on an instance, in the order of the
// batches, and may use none of the group's memory. Wait and Outputs are as after Commit. The batcher closes r, after its run
// and Release.
func (h *Handle) Submit(r Runner) {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	batch := &batch{group: h.group, runner: r, own: true, state: batchFilling, rows: []row{{ready: make(chan struct{}, 1)}}}
	h.group.filling = append(h.group.filling, batch)
	batch.take(0)
	batch.commit(0)
	h.batch, h.row, h.state, h.committed = batch, 0, handleCommitted, time.Now()
	h.b.dispatch()
}

// Commit hands over the inputs, which are all written, to be run.
func (h *Handle) Commit() {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	h.batch.commit(h.row)
	h.state, h.committed = handleCommitted, time.Now()
	if h.batch.state == batchClaimed && h.batch.packing == 0 {
		h.b.launch(h.batch)
	}
	h.b.dispatch()
}

// Wait returns when the run is over, with the error of the run or of this row of it, or when ctx ends, with ctx's error.
func (h *Handle) Wait(ctx context.Context) error {
	select {
	case <-h.batch.rows[h.row].ready:
		return cmp.Or(h.batch.err, h.batch.rows[h.row].err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Outputs are the outputs for this image after Wait has returned nil, valid until Release.
func (h *Handle) Outputs() []postprocess.Tensor { return h.batch.runner.Outputs(h.row) }

// QueueTime is how long the image waited from Commit until its run began. It is known after Wait has returned nil.
func (h *Handle) QueueTime() time.Duration { return max(0, h.batch.started.Sub(h.committed)) }

// RunTime is how long the run took. It is known after Wait has returned nil.
func (h *Handle) RunTime() time.Duration { return h.batch.took }

// Release gives back what is held: the place in the line for a slot, the slot, or the row. It is allowed in every state; a second
// call does nothing.
func (h *Handle) Release() {
	b := h.b
	b.mu.Lock()
	defer b.mu.Unlock()
	switch h.state {
	case handleWaiting:
		b.waiting = slices.DeleteFunc(b.waiting, func(o *Handle) bool { return o == h })
	case handleSlotted:
		h.group.slots++
	case handlePacking:
		h.batch.packing--
		h.releaseRow()
	case handleCommitted:
		h.batch.wanted--
		h.releaseRow()
	case handleReleased:
		return
	}
	h.state = handleReleased
	b.dispatch()
}

// releaseRow frees the row, or leaves it as padding to the run that its batch is claimed for. The caller holds mu.
func (h *Handle) releaseRow() {
	batch, g := h.batch, h.group
	switch batch.state {
	case batchFilling:
		batch.rows[h.row].state, batch.rows[h.row].tag = rowFree, nil
		g.slots++
		if batch.packing+batch.wanted == 0 {
			g.recycle(batch)
		}
	case batchClaimed:
		batch.rows[h.row].state, batch.rows[h.row].tag = rowAbandoned, nil
		if batch.packing == 0 {
			h.b.launch(batch)
		}
	case batchRunning:
		batch.rows[h.row].state = rowAbandoned
		if batch.wanted == 0 {
			batch.abandon()
		}
	case batchDone:
		batch.rows[h.row].state = rowFree
		select {
		case <-batch.rows[h.row].ready: // released without Wait
		default:
		}
		if batch.wanted == 0 {
			g.recycle(batch)
		}
	case batchFree: // no handle holds a row of it
	}
}

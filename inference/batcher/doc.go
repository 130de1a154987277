// Package batcher puts images of concurrent requests into batches and runs the batches on the instances of a model
// version. It owns the batches, which rows of them belong to which request, and the order in which everything is served.
//
// A request takes the same steps every time:
//
//	h, err := b.Enter(ctx)   // waits for a slot, the right to one row
//	defer h.Release()        // gives back whatever is held, in every state
//	pack(h.Input(0))         // takes a row: the memory to write one image to
//	h.Commit()               // the row may run
//	err = h.Wait(ctx)        // until the run is over
//	read(h.Outputs())        // the row of the outputs, valid until Release
//
// A request whose tensors fit no row brings a separate run instead: after Enter it calls Submit, which takes the place of Input and
// Commit. Such a run is a batch of one row outside the group's memory.
//
// # States
//
// The states of a Handle. Release is allowed in each of them:
//
//	           slot            first Input          Commit           end of the run
//	waiting ────────▶ slotted ─────────────▶ packing ──────▶ committed ─────▶ (Outputs can be read)
//	   │                 │                      │                │                  │
//	   └─────────────────┴───────────────── Release ─────────────┴──────────────────┴──▶ released
//
// The states of a batch. The rows of a batch that is claimed but not done are those of its run; a row released by then
// runs as padding:
//
//	       first row            idle instance           last packing row          end of            last row
//	                                                    committed                 the run           released
//	free ────────────▶ filling ───────────────▶ claimed ─────────────────▶ running ───────▶ done ───────────▶ free
//	  ▲                   │                        │                                          │
//	  └───────────────────┴── all rows released ───┴──────────────────────────────────────────┘
//
// # Invariants
//
// They hold whenever Batcher.mu is free:
//
//   - A slot guarantees a row: taking one never waits. A group has instances × rows slots. A handle holds one from Enter until
//     its batch is claimed, or until Release.
//   - Every batch is free, filling or occupied (claimed, running or done). One per instance is never claimed, so that
//     there is always one to fill.
//   - No committed row waits while an instance is idle, unless MaxDelay holds its batch open or the requests of
//     earlier runs still read all the batches that may be occupied.
//   - No request waits for a slot while one is free. Slots are granted first come, first served; the oldest batch runs first.
//   - The memory of a row belongs to its handle while it is packing and after the run, and to the instance during the run.
//     A row that held an image is cleared before it runs as padding.
//
// Every event (enter, first input, commit, release, end of a run, end of a delay) changes the state with mu locked and
// then dispatches what has become possible. Nothing waits with mu locked.
package batcher

package inference

import (
	"context"
	"time"
)

// tilePlaces are what an image in tiles holds of a queue.
type tilePlaces struct {
	queue       *queue
	client      string
	held, tiles int // places; tiles that are not answered yet
}

// enterTiles adds an image of n tiles, or refuses it as enter does. It takes a place for each tile, but no more than half of the queue, or
// a client's share of it, so that one image leaves room for others. Places are given back one by one, as soon as there are no more tiles than these.
func (q *queue) enterTiles(n int, client string, share float64) (*tilePlaces, error) {
	most := q.bound / 2
	if share > 0 {
		most = min(most, int(share*float64(q.bound)))
	}
	held := min(n, max(1, most))
	if err := q.enter(held, client, share); err != nil {
		return nil, err
	}
	return &tilePlaces{queue: q, client: client, held: held, tiles: n}, nil
}

// answered gives back the place of a tile.
func (p *tilePlaces) answered() {
	if p.tiles--; p.held > p.tiles {
		p.queue.leave(1, p.client)
		p.held--
	}
}

// leave gives back all places.
func (p *tilePlaces) leave() {
	if p.held > 0 {
		p.queue.leave(p.held, p.client)
		p.held = 0
	}
}

// tiledWork is the use of the workers by an image in tiles. It counts each of these as an image in the server.
type tiledWork struct {
	imageWork

	more int
}

// enterTiles counts an image of n tiles and waits until it may be decoded: as many as there are workers but one are in memory, until they are
// answered. The error is ctx's; without one, leave must be called.
func (w *workers) enterTiles(ctx context.Context, estimate time.Duration, n int) (*tiledWork, error) {
	if err := w.tiled.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	work, err := w.enter(ctx, estimate)
	if err != nil {
		w.tiled.Release(1)
		return nil, err
	}
	w.count(n - 1)
	return &tiledWork{work, n - 1}, nil
}

// leave is called once the image is answered or refused, and closed.
func (t *tiledWork) leave() {
	t.w.count(-t.more)
	t.imageWork.leave()
	t.w.tiled.Release(1)
}

package inference

import "context"

// tilePlaces are what an image in tiles holds of a queue.
type tilePlaces struct {
	queue       *queue
	client      string
	held, tiles int // places; tiles that are not answered yet
}

// enterTiles adds an image of n tiles, or refuses it as enter does. It takes a place for each tile, but no more than half of the queue, or
// a client's share of it, so that one image leaves room for others. Places are given back one by one, as soon as there are no more tiles than these.
func (q *queue) enterTiles(n int, client string, share float64) (*tilePlaces, error) {
	p := q.placesOf(n, client, share)
	if err := q.enter(p.held, client, share); err != nil {
		return nil, err
	}
	return p, nil
}

// awaitTiles is enterTiles that waits, as await does.
func (q *queue) awaitTiles(ctx context.Context, n int, client string, share float64) (*tilePlaces, error) {
	p := q.placesOf(n, client, share)
	if err := q.await(ctx, p.held, client, share); err != nil {
		return nil, err
	}
	return p, nil
}

// placesOf are the places of an image of n tiles.
func (q *queue) placesOf(n int, client string, share float64) *tilePlaces {
	most := q.bound / 2
	if share > 0 {
		most = min(most, int(share*float64(q.bound)))
	}
	return &tilePlaces{queue: q, client: client, held: min(n, max(1, most)), tiles: n}
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

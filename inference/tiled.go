package inference

import (
	"cmp"
	"context"
	"errors"
	"image"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"fovea/inference/batcher"
	"fovea/internal/panics"
	"fovea/postprocess"
	"fovea/preprocess"
	"fovea/preprocess/geometry"
)

// tiled is an image that is predicted in tiles. It is decoded once. As many tiles as there are cores are packed into batches at a time, and
// outputs are read meanwhile. Each tile waits for its slot and its worker in turn with other images, so that these never wait for all
// tiles of one.
type tiled struct {
	v        *version
	request  Request
	how      *tiling
	response *Response
	watch    stopwatch

	rects  []image.Rectangle // of the image, orientation-corrected; the first tiles of them are tiles, the other one is the whole image
	tiles  int
	at     image.Point // of the image in the one that it was cropped from
	merger *postprocess.Merger

	places *tilePlaces // nil: none are held
	work   imageWork
	count  int // of images in the server, by which the tiles are counted

	rows         chan tileRow // as many as rects fit in
	began, ended time.Time    // the first run's begin, the last one's end

	mu      sync.Mutex
	packing time.Duration // of all tiles
	waited  time.Duration // the first tile for its slot and its worker
}

// tileRow is a tile whose row may run.
type tileRow struct {
	h         *batcher.Handle
	transform geometry.Transform // from the tile
	rect      int
}

// answerTiles predicts an image in tiles.
func (v *version) answerTiles(ctx context.Context, r Request, how *tiling, response *Response) error {
	ti := &tiled{v: v, request: r, how: how, response: response, watch: newStopwatch(ctx, &response.Timing)}
	defer ti.leave()
	open := ti.decode
	if r.Pixels != nil {
		open = ti.take
	}
	img, free, err := open(ctx)
	if err != nil {
		return err
	}
	return ti.predict(ctx, img, free)
}

// decode decodes the image, after the gates that bound images: the version's queue, the memory of decoded images, the turn of large ones
// and a worker.
func (ti *tiled) decode(ctx context.Context) (img *preprocess.Image, free func(), err error) {
	v, r := ti.v, &ti.request
	info, err := v.header(*r)
	if err != nil {
		return nil, nil, err
	}
	ti.watch.lap(StageDecode, &ti.watch.Decode)
	size := image.Pt(info.OrientedSize())
	if err := ti.cut(size, size); err != nil {
		return nil, nil, err
	}
	if ti.places, err = v.queue.enterTiles(len(ti.rects), r.Client, r.ClientShare); err != nil {
		return nil, nil, err
	}
	pixels := v.shared.pixels.weigh(info)
	if err := v.shared.pixels.Acquire(ctx, pixels); err != nil {
		return nil, nil, err
	}
	if err = ti.enter(ctx, info.Estimate(len(r.Image))); err == nil {
		img, err = v.plan.DecodeWhole(ctx, r.Image, info)
	}
	if err != nil {
		v.shared.pixels.Release(pixels)
		return nil, nil, err
	}
	ti.work.release()
	if r.Decoded != nil {
		r.Decoded()
	}
	ti.watch.lap(StageDecode, &ti.watch.Decode)
	return img, func() {
		img.Close()
		v.shared.pixels.Release(pixels)
	}, nil
}

// take takes the pixels of a request, and then the places of its tiles, for which it waits.
func (ti *tiled) take(ctx context.Context) (img *preprocess.Image, free func(), err error) {
	if err := ti.enter(ctx, 0); err != nil {
		return nil, nil, err
	}
	if img, free, err = ti.request.Pixels(); err != nil {
		return nil, nil, err
	}
	ti.work.release()
	ti.watch.lap(StagePreprocess, &ti.watch.Preprocess)
	size := image.Pt(img.Size())
	area, whole := img.Area()
	if ti.at = area.Min; area.Empty() {
		whole = size
	}
	if err = ti.cut(size, whole); err == nil {
		ti.places, err = ti.v.queue.awaitTiles(ctx, len(ti.rects), ti.request.Client, ti.request.ClientShare)
	}
	if err != nil {
		free()
		return nil, nil, err
	}
	ti.watch.lap(StageQueue, &ti.watch.Queue)
	return img, free, nil
}

// cut cuts an image of a size into tiles. Objects are to be in pixels of the whole image.
func (ti *tiled) cut(size, whole image.Point) (err error) {
	ti.rects, ti.tiles, err = ti.how.of(size)
	ti.rows = make(chan tileRow, len(ti.rects))
	ti.merger = postprocess.NewMerger(ti.how.merging, whole.X, whole.Y)
	return err
}

// enter waits for the turn of large images and for a worker.
func (ti *tiled) enter(ctx context.Context, estimate time.Duration) (err error) {
	if ti.work, err = ti.v.shared.workers.enter(ctx, estimate); err != nil {
		return err
	}
	ti.count = 1
	if err := ti.work.acquire(ctx); err != nil {
		return err
	}
	ti.watch.Queue = ti.request.Waited
	ti.watch.lap(StageQueue, &ti.watch.Queue)
	return nil
}

// leave gives back what the image holds besides rows.
func (ti *tiled) leave() {
	if ti.count > 0 {
		ti.v.shared.workers.count(1 - ti.count)
		ti.work.leave()
	}
	if ti.places != nil {
		ti.places.leave()
	}
}

// predict packs and reads all tiles. It frees the image, once all are packed or the prediction has failed.
func (ti *tiled) predict(ctx context.Context, img *preprocess.Image, free func()) error {
	ti.v.shared.workers.count(len(ti.rects) - ti.count)
	ti.count = len(ti.rects)
	ctx, cancel := context.WithCancel(ctx)
	packed := make(chan error, 1)
	go func() {
		defer close(ti.rows)
		defer free()
		packed <- ti.pack(ctx, cancel, img)
	}()
	defer func() { // also after a panic: rows that are not read are given back
		cancel()
		for row := range ti.rows {
			row.h.Release()
		}
	}()
	var failed error
	for row := range ti.rows {
		if failed != nil {
			row.h.Release()
		} else if failed = ti.read(ctx, row); failed != nil {
			cancel()
		}
	}
	if err := <-packed; err != nil && (failed == nil || errors.Is(failed, context.Canceled)) {
		failed = err
	}
	if failed != nil {
		return failed
	}
	return ti.finish(ctx)
}

// pack packs the tiles in order, several at a time: as many as there are cores. An error ends all of it.
func (ti *tiled) pack(ctx context.Context, cancel func(), img *preprocess.Image) error {
	var next atomic.Int64
	errs := make([]error, min(len(ti.rects), int(max(1, ti.v.shared.workers.all-1))))
	var packers sync.WaitGroup
	for k := range errs {
		packers.Go(func() {
			errs[k] = panics.Catch(func() error {
				for i := int(next.Add(1)) - 1; i < len(ti.rects); i = int(next.Add(1)) - 1 {
					if err := ti.packTile(ctx, i, img); err != nil {
						return err
					}
				}
				return nil
			})
			if errs[k] != nil {
				cancel()
			}
		})
	}
	packers.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return cmp.Or(errs...)
}

// packTile packs a tile into a row and has it run. It waits for a slot first, and holds a worker only while it packs.
func (ti *tiled) packTile(ctx context.Context, i int, img *preprocess.Image) (err error) {
	begin := time.Now()
	h, err := ti.v.batcher.Enter(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			h.Release()
		}
	}()
	worker := imageWork{w: ti.v.shared.workers}
	if err := worker.acquire(ctx); err != nil {
		return err
	}
	defer worker.release()
	entered := time.Now()
	transform, err := ti.write(h, i, img)
	if err != nil {
		return err
	}
	if ti.watch.stages != nil {
		h.Tag(ti.watch.stages.Link())
	}
	h.Commit()
	ti.mu.Lock()
	ti.packing += time.Since(entered)
	if i == 0 { // the others wait while it runs
		ti.waited = entered.Sub(begin)
	}
	ti.mu.Unlock()
	ti.rows <- tileRow{h, transform, i}
	return nil
}

// write writes a tile and the extra inputs into its row.
func (ti *tiled) write(h *batcher.Handle, i int, img *preprocess.Image) (transform geometry.Transform, err error) {
	v, rect := ti.v, ti.rects[i]
	if len(ti.rects) > 1 { // else only this goroutine reads the image
		if img, err = img.Crop(rect); err != nil {
			return transform, err
		}
		defer img.Close()
	}
	if err := v.reshape(h, v.plan.InputSize(rect.Dx(), rect.Dy())); err != nil {
		return transform, err
	}
	if transform, err = v.plan.Pack(img, h.Input(v.image)); err != nil {
		return transform, err
	}
	for _, x := range v.extras {
		x.write(h.Input(x.input), transform)
	}
	return transform, nil
}

// read waits for the run of a tile and reads its objects. It releases the row.
func (ti *tiled) read(ctx context.Context, row tileRow) error {
	defer row.h.Release()
	if err := row.h.Wait(ctx); err != nil {
		return modelFailed(err)
	}
	ti.ran(row)
	begin := time.Now()
	objects, err := ti.v.decoder.Decode(row.h.Outputs(), row.transform, ti.how.params)
	if err == nil && row.rect < ti.tiles {
		err = ti.merger.Add(objects, ti.rects[row.rect].Min.Add(ti.at))
	} else if err == nil {
		err = ti.merger.AddWhole(objects, ti.at)
	}
	ti.watch.Postprocess += time.Since(begin)
	ti.places.answered()
	return err
}

// ran notes the run of a row.
func (ti *tiled) ran(row tileRow) {
	started, ended := row.h.Started(), row.h.Started().Add(row.h.RunTime())
	if ti.began.IsZero() {
		ti.response.Device, ti.began, ti.ended = row.h.Device(), started, ended
		ti.watch.Queue += row.h.QueueTime()
	}
	if started.Before(ti.began) {
		ti.began = started
	}
	if ended.After(ti.ended) {
		ti.ended = ended
	}
	rows, leads := row.h.Rows()
	ti.response.rows = max(ti.response.rows, rows)
	if leads {
		ti.response.runs++
	}
}

// finish merges the objects, adds up the stages and records them. Infer is the time from the first run's begin to the last one's end, during
// which other tiles are packed and outputs are read.
func (ti *tiled) finish(ctx context.Context) error {
	begin, watch := time.Now(), &ti.watch
	prediction, err := ti.merger.Merge(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	ti.response.Prediction, ti.response.tiles, ti.response.answered = prediction, ti.tiles, len(ti.rects)
	watch.Queue += ti.waited
	watch.Preprocess += ti.packing
	watch.Infer = ti.ended.Sub(ti.began)
	watch.Postprocess += now.Sub(begin)
	watch.stages.Record(StageQueue, watch.last, ti.began, nil)
	watch.stages.Record(StageInfer, ti.began, ti.ended, nil, slog.Int("fovea.tiles", ti.tiles), slog.Int("fovea.batch_size", ti.response.rows),
		slog.String("fovea.device", ti.response.Device))
	watch.stages.Record(StagePostprocess, ti.ended, now, nil)
	return nil
}

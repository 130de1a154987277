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
	places *tilePlaces
	work   *tiledWork
	merger *postprocess.Merger

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
	info, err := v.header(r)
	if err != nil {
		return err
	}
	ti.watch.lap(StageDecode, &ti.watch.Decode)
	width, height := info.OrientedSize()
	if ti.rects, ti.tiles, err = how.of(image.Pt(width, height)); err != nil {
		return err
	}
	ti.rows = make(chan tileRow, len(ti.rects))
	ti.merger = postprocess.NewMerger(how.merging, width, height)
	if ti.places, err = v.queue.enterTiles(len(ti.rects), r.Client, r.ClientShare); err != nil {
		return err
	}
	defer ti.places.leave()
	if ti.work, err = v.shared.workers.enterTiles(ctx, info.Estimate(len(r.Image)), len(ti.rects)); err != nil {
		return err
	}
	defer ti.work.leave()
	if err := ti.work.acquire(ctx); err != nil {
		return err
	}
	ti.watch.Queue = r.Waited
	ti.watch.lap(StageQueue, &ti.watch.Queue)
	img, err := v.plan.DecodeWhole(ctx, r.Image, info)
	if err != nil {
		return err
	}
	ti.work.release()
	if r.Decoded != nil {
		r.Decoded()
	}
	ti.watch.lap(StageDecode, &ti.watch.Decode)
	return ti.predict(ctx, img)
}

// predict packs and reads all tiles. It closes the image, once all are packed or the prediction has failed.
func (ti *tiled) predict(ctx context.Context, img *preprocess.Image) error {
	ctx, cancel := context.WithCancel(ctx)
	packed := make(chan error, 1)
	go func() {
		defer close(ti.rows)
		defer img.Close()
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
		if img, err = img.Region(rect); err != nil {
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
		err = ti.merger.Add(objects, ti.rects[row.rect].Min)
	} else if err == nil {
		err = ti.merger.AddWhole(objects)
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
	watch.Preprocess = ti.packing
	watch.Infer = ti.ended.Sub(ti.began)
	watch.Postprocess += now.Sub(begin)
	watch.stages.Record(StageQueue, watch.last, ti.began, nil)
	watch.stages.Record(StageInfer, ti.began, ti.ended, nil, slog.Int("fovea.tiles", ti.tiles), slog.Int("fovea.batch_size", ti.response.rows),
		slog.String("fovea.device", ti.response.Device))
	watch.stages.Record(StagePostprocess, ti.ended, now, nil)
	return nil
}

package inference

import (
	"context"
	"image"
	"log/slog"
	"time"

	"fovea/inference/batcher"
	"fovea/internal/panics"
	"fovea/postprocess"
	"fovea/preprocess"
	"fovea/preprocess/geometry"
)

// tiled is an image that is predicted in tiles. It is decoded once; one goroutine packs its tiles into batches, one after another, and
// another one reads their outputs. A tile waits for its slot and its worker in turn with other images, so that these never wait for all
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
	packing      Timing       // of the goroutine that packs
	began, ended time.Time    // the first run's begin, the last one's end
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
		packed <- panics.Catch(func() error {
			defer img.Close()
			return ti.pack(ctx, img)
		})
	}()
	defer func() { // also after a panic: rows that are not read are given back
		cancel()
		for row := range ti.rows {
			row.h.Release()
		}
	}()
	for row := range ti.rows {
		if err := ti.read(ctx, row); err != nil {
			return err
		}
		ti.places.answered()
	}
	if err := <-packed; err != nil {
		return err
	}
	begin := time.Now()
	prediction, err := ti.merger.Merge(ctx)
	if err != nil {
		return err
	}
	ti.watch.Postprocess += time.Since(begin)
	ti.response.Prediction, ti.response.tiles, ti.response.answered = prediction, ti.tiles, len(ti.rects)
	ti.finish()
	return nil
}

// pack packs the tiles in order. The whole image comes last, as packing it may change its pixels.
func (ti *tiled) pack(ctx context.Context, img *preprocess.Image) error {
	for i, rect := range ti.rects {
		part := img
		if len(ti.rects) > 1 && i < ti.tiles {
			var err error
			if part, err = img.Region(rect); err != nil {
				return err
			}
		}
		err := ti.packRow(ctx, i, part)
		if part != img {
			part.Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// packRow packs a tile into a row and has it run. It holds a worker only while it packs.
func (ti *tiled) packRow(ctx context.Context, i int, part *preprocess.Image) (err error) {
	watch := stopwatch{Timing: &ti.packing, last: time.Now()} // the stages of all tiles are recorded as one
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
	if i == 0 { // the others wait while it runs
		watch.lap(StageQueue, &watch.Queue)
	} else {
		watch.last = time.Now()
	}
	rect := ti.rects[i]
	if err := ti.v.reshape(h, ti.v.plan.InputSize(rect.Dx(), rect.Dy())); err != nil {
		return err
	}
	transform, err := ti.v.plan.Pack(part, h.Input(ti.v.image))
	if err != nil {
		return err
	}
	for _, x := range ti.v.extras {
		x.write(h.Input(x.input), transform)
	}
	if ti.watch.stages != nil {
		h.Tag(ti.watch.stages.Link())
	}
	h.Commit()
	watch.lap(StagePreprocess, &watch.Preprocess)
	ti.rows <- tileRow{h, transform, i}
	return nil
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
	return err
}

// ran notes the run of a row.
func (ti *tiled) ran(row tileRow) {
	started, ended := row.h.Started(), row.h.Started().Add(row.h.RunTime())
	if row.rect == 0 {
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

// finish adds up the stages, and records them. Infer is the time from the first run's begin to the last one's end; the other tiles
// are packed, and outputs are read, meanwhile.
func (ti *tiled) finish() {
	watch, now := &ti.watch, time.Now()
	watch.Queue += ti.packing.Queue
	watch.Preprocess = ti.packing.Preprocess
	watch.Infer = ti.ended.Sub(ti.began)
	watch.stages.Record(StageQueue, watch.last, ti.began, nil)
	watch.stages.Record(StageInfer, ti.began, ti.ended, nil, slog.Int("fovea.tiles", ti.tiles), slog.Int("fovea.batch_size", ti.response.rows),
		slog.String("fovea.device", ti.response.Device))
	watch.stages.Record(StagePostprocess, ti.ended, now, nil)
}

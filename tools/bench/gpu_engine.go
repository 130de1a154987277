package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"fovea/inference"
	"fovea/inference/onnx"
	"fovea/internal/repository"
	"fovea/preprocess"
	"fovea/preprocess/header"
)

// engineTally counts an engine's batches and stages.
type engineTally struct {
	batches, rows, padded, infer, queue atomic.Int64
	failed                              atomic.Pointer[string]
}

// Stage implements inference.Observer.
func (t *engineTally) Stage(_, _, stage string, d time.Duration) {
	switch stage {
	case inference.StageInfer:
		t.infer.Add(int64(d))
	case inference.StageQueue:
		t.queue.Add(int64(d))
	}
}

// Batch implements inference.Observer.
func (t *engineTally) Batch(_, _ string, rows, padded int) {
	t.batches.Add(1)
	t.rows.Add(int64(rows))
	t.padded.Add(int64(padded))
}

// Queue implements inference.Observer.
func (*engineTally) Queue(string, string, int) {}

// Discarded implements inference.Observer.
func (*engineTally) Discarded(string, string, int) {}

// Tiles implements inference.Observer.
func (*engineTally) Tiles(string, string, int) {}

// Evicted implements inference.Observer.
func (*engineTally) Evicted(string, string) {}

// Rejected implements inference.Observer.
func (t *engineTally) Rejected(_, reason string) { t.failed.CompareAndSwap(nil, &reason) }

// reset clears everything except failures.
func (t *engineTally) reset() {
	for _, n := range []*atomic.Int64{&t.batches, &t.rows, &t.padded, &t.infer, &t.queue} {
		n.Store(0)
	}
}

// engineRounds is the number of alternating measurements of the engine and the plain loop.
const engineRounds = 2

// engineAgainstLoop alternates between the engine, which gathers single rows into batches, and the plain loop over
// identical sessions.
func (b *groupBench) engineAgainstLoop(ctx context.Context, size int, l layout) (c gpuCase, err error) {
	c = gpuCase{Case: "engine, from rows", Batch: size, Layout: l.String()}
	var sessions []*onnx.Session
	defer func() {
		for _, s := range sessions {
			err = errors.Join(err, s.Close())
		}
	}()
	for range l.Sessions {
		s, err := b.session()
		if err != nil {
			return c, err
		}
		sessions = append(sessions, s)
	}
	t := &engineTally{}
	e, stop, err := b.engine(ctx, size, l, t)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var ratio float64
	for range engineRounds {
		plain, err := b.loop(ctx, sessions, l, size)
		if err != nil {
			return c, err
		}
		round, err := b.measureEngine(ctx, e, t, size, l, func(i int) inference.Request { return inference.Request{Row: b.rows[i%len(b.rows)]} })
		if err != nil {
			return c, err
		}
		round.RowBytes = plain.RowBytes
		round.CopyGB = round.PerSecond * float64(plain.RowBytes) / 1e9
		ratio += round.PerSecond / plain.PerSecond / engineRounds
		round.Case, round.Loop = c.Case, plain.PerSecond
		c = round
	}
	c.OfLoop = &ratio
	return c, nil
}

// engine starts an engine with the group's model; stop closes it and removes its repository.
func (b *groupBench) engine(ctx context.Context, size int, l layout, t *engineTally) (e *inference.Engine, stop func() error, err error) {
	dir, err := repositoryFor(b.folder, b.device.String(), size, l)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	cfg := inference.Defaults()
	cfg.Device, cfg.CUDA = b.o.GPU.Device, b.group.CUDA.config()
	cfg.Models = []inference.ModelConfig{{Name: b.group.Model, Required: true}}
	e, err = inference.New(cfg, repository.Open(dir), t, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return errors.Join(e.Close(ctx), os.RemoveAll(dir))
	}
	if err := e.Sync(ctx); err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return e, stop, nil
}

// measureEngine measures while enough clients send requests to keep the instances busy.
func (b *groupBench) measureEngine(ctx context.Context, e *inference.Engine, t *engineTally, size int, l layout, request func(i int) inference.Request) (gpuCase, error) {
	c := gpuCase{Batch: size, Layout: l.String()}
	n := clients(size, l)
	t.reset()
	begin := time.Now()
	s, err := b.span(ctx, new(atomic.Int64), func(ctx context.Context, done *atomic.Int64) error {
		failures := make([]error, n)
		var wg sync.WaitGroup
		for client := range n {
			wg.Go(func() {
				failures[client] = repeat(ctx, func(i int) error {
					if _, err := e.Predict(ctx, request(client+i)); err != nil {
						if ctx.Err() != nil {
							return nil
						}
						return err
					}
					done.Add(1)
					return nil
				})
			})
		}
		wg.Wait()
		return errors.Join(failures...)
	})
	all, batches, rows := time.Since(begin).Seconds(), float64(t.batches.Load()), float64(t.rows.Load())
	c.take(s, l.Sessions*l.Instances, size)
	if rows > 0 {
		run := float64(t.infer.Load()) / rows / 1e9 // the observer gets the batch's time for each of its images
		c.RunMS, c.QueueMS = run*1000, float64(t.queue.Load())/rows/1e6
		// An estimate: weighted by rows, long batches count too much.
		c.Busy = min(1, run*batches/all/float64(l.Sessions*l.Instances))
		c.Fill = rows / (rows + float64(t.padded.Load()))
		c.MeanBatch = rows / batches
	}
	return c, err
}

// images measures what the cores can decode, and the engine from the same images.
func (b *groupBench) images(ctx context.Context, size int) {
	images, err := images(b.o.Images)
	if err != nil {
		b.report(gpuCase{Case: "engine, from images"}, err)
		return
	}
	limit, err := b.decoding(ctx, images)
	b.report(limit, err)
	l, t := layout{1, 2}, &engineTally{}
	e, stop, err := b.engine(ctx, size, l, t)
	if err != nil {
		b.report(gpuCase{Case: "engine, from images"}, err)
		return
	}
	c, err := b.measureEngine(ctx, e, t, size, l, func(i int) inference.Request { return inference.Request{Image: images[i%len(images)]} })
	c.Case = "engine, from images"
	if limit.PerSecond > 0 {
		share := c.PerSecond / limit.PerSecond
		c.OfDecoding = &share
	}
	b.report(c, errors.Join(err, stop()))
}

// decoding measures decoding and packing alone, with a goroutine per core.
func (b *groupBench) decoding(ctx context.Context, images [][]byte) (gpuCase, error) {
	c := gpuCase{Case: "decoding alone", Layout: fmt.Sprintf("%d cores", runtime.GOMAXPROCS(0))}
	plan, err := b.plan()
	if err != nil {
		return c, err
	}
	limits := header.Limits{MaxPixels: inference.Defaults().MaxPixels}
	s, err := b.span(ctx, new(atomic.Int64), func(ctx context.Context, done *atomic.Int64) error {
		failures := make([]error, runtime.GOMAXPROCS(0))
		var wg sync.WaitGroup
		for core := range failures {
			wg.Go(func() {
				row := alignedRow(plan.RowBytes())
				failures[core] = repeat(ctx, func(i int) error {
					if err := prepare(context.Background(), plan, row, images[(core+i)%len(images)], limits); err != nil {
						return err
					}
					done.Add(1)
					return nil
				})
			})
		}
		wg.Wait()
		return errors.Join(failures...)
	})
	c.take(s, 1, 0)
	return c, err
}

// definition returns the definition of the group's model, and its file, whose graph normalizes if the definition says so.
func (b *groupBench) definition() (repository.Definition, *onnx.File, error) {
	entry, err := repository.Open(filepath.Dir(b.folder)).Load(b.group.Model)
	if err != nil {
		return repository.Definition{}, nil, err
	}
	file, err := onnx.ReadFile(filepath.Join(b.folder, "1", "model.onnx"))
	if err != nil {
		return repository.Definition{}, nil, err
	}
	definition, err := entry.Definition.Resolve(file.Inputs, file.Outputs)
	if err == nil && definition.Input.Normalize == repository.NormalizeGraph {
		err = file.TakePixels(definition.Input)
	}
	return definition, file, err
}

// plan returns the preprocessing of the group's model.
func (b *groupBench) plan() (*preprocess.Plan, error) {
	definition, _, err := b.definition()
	if err != nil {
		return nil, err
	}
	return preprocess.NewPlan(definition.Input.Packed())
}

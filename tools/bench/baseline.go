package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"fovea/inference/onnx"
	"fovea/internal/repository"
	"fovea/postprocess"
	"fovea/preprocess"
	"fovea/preprocess/header"
	"fovea/tools/bench/proc"
)

// baseline is what the server is compared with: one goroutine per core takes the images in turn, decodes, packs and runs
// each, and decodes its outputs, with nothing else in the process. It prints a rate as JSON.
func baseline(ctx context.Context, o options, out io.Writer) error {
	images, err := images(o.Images)
	if err != nil {
		return err
	}
	l, err := newLoop(o, images)
	if err != nil {
		return err
	}
	return l.report(ctx, o.Duration, l.answer, out)
}

// tensorLoop is what `bench v2` compares the server with: one goroutine per core copies the tensors in turn to a batch, runs it and
// copies its outputs. It does that for each duration that it reads, one a line, and prints a rate as JSON.
func tensorLoop(ctx context.Context, o options, out io.Writer) (err error) {
	l, err := newLoop(o, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	for i := range v2Tensors {
		l.images = append(l.images, noise(uint64(i), len(l.workers[0].Input(0, 0))))
	}
	if _, err := l.run(ctx, 2*time.Second, runTensor); err != nil { // warm-up
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		d, err := time.ParseDuration(lines.Text())
		if err != nil {
			return err
		}
		r, err := l.run(ctx, d, runTensor)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(out).Encode(r); err != nil {
			return err
		}
	}
	return lines.Err()
}

// report warms the loop up, runs it for d, prints the rate and closes the loop.
func (l *loop) report(ctx context.Context, d time.Duration, answer func(*onnx.Batch, []byte) error, out io.Writer) (err error) {
	defer func() { err = errors.Join(err, l.close()) }()
	if _, err := l.run(ctx, min(d, 2*time.Second), answer); err != nil { // warm-up
		return err
	}
	r, err := l.run(ctx, d, answer)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

// loop is a loaded model and the images to run.
type loop struct {
	images  [][]byte // or tensors
	plan    *preprocess.Plan
	decoder postprocess.Decoder
	session *onnx.Session
	workers []*onnx.Batch
}

func newLoop(o options, images [][]byte) (l *loop, err error) {
	if err := onnx.Open(""); err != nil {
		return nil, err
	}
	l = &loop{images: images}
	entry, err := repository.Open(o.Models).Load(o.Model)
	if err != nil {
		return nil, err
	}
	versions := entry.Serve(nil)
	if len(versions) == 0 {
		return nil, errors.New("the model has no weights; get them with `serve models pull`")
	}
	weights, err := entry.Weights(versions[len(versions)-1])
	if err != nil {
		return nil, err
	}
	if l.session, err = onnx.NewSession(weights.Path, onnx.Options{SaturatingInt8: o.Saturating}); err != nil {
		return nil, err
	}
	definition, err := entry.Definition.Resolve(l.session.Inputs(), l.session.Outputs())
	if err != nil {
		return nil, err
	}
	if l.plan, err = preprocess.NewPlan(definition.Input); err != nil {
		return nil, err
	}
	for range runtime.GOMAXPROCS(0) {
		batch, err := l.session.NewBatch(context.Background(), onnx.BatchSpec{Rows: 1})
		if err != nil {
			return nil, err
		}
		l.workers = append(l.workers, batch)
	}
	l.decoder, err = postprocess.New(definition, l.workers[0].Outputs(0))
	return l, err
}

// run answers images for d and returns the rate.
func (l *loop) run(ctx context.Context, d time.Duration, answer func(*onnx.Batch, []byte) error) (rate, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var done atomic.Int64
	var wg sync.WaitGroup
	failures := make([]error, len(l.workers))
	mallocs, cpu, start := heapMallocs(), proc.OwnCPU(), time.Now()
	for i, batch := range l.workers {
		wg.Go(func() {
			for ctx.Err() == nil && failures[i] == nil {
				n := done.Add(1)
				failures[i] = answer(batch, l.images[int(n)%len(l.images)])
			}
		})
	}
	wg.Wait()
	n := float64(done.Load())
	return rate{
		PerSecond: n / time.Since(start).Seconds(),
		CPU:       time.Duration(float64(proc.OwnCPU()-cpu) / n),
		Mallocs:   float64(heapMallocs()-mallocs) / n,
	}, errors.Join(failures...)
}

func (l *loop) answer(batch *onnx.Batch, image []byte) error {
	info, err := header.Read(image, header.Limits{MaxPixels: 50_000_000})
	if err != nil {
		return err
	}
	img, err := l.plan.Decode(context.Background(), image, info)
	if err != nil {
		return err
	}
	defer img.Close()
	fit, err := l.plan.Pack(img, batch.Input(0, 0))
	if err != nil {
		return err
	}
	if err := batch.Run(context.Background(), 1); err != nil {
		return err
	}
	_, err = l.decoder.Decode(batch.Outputs(0), fit, postprocess.Params{})
	return err
}

func runTensor(batch *onnx.Batch, tensor []byte) error {
	copy(batch.Input(0, 0), tensor)
	if err := batch.Run(context.Background(), 1); err != nil {
		return err
	}
	for _, t := range batch.Outputs(0) {
		if len(bytes.Clone(t.Data)) == 0 {
			return errors.New("an empty output")
		}
	}
	return nil
}

func (l *loop) close() error {
	var errs []error
	for _, batch := range l.workers {
		errs = append(errs, batch.Close())
	}
	return errors.Join(append(errs, l.session.Close(), onnx.Close())...)
}

func heapMallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

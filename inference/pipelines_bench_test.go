package inference

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fovea/inference/onnx"
	"fovea/postprocess"
	"fovea/preprocess"
	"fovea/preprocess/geometry"
	"fovea/preprocess/header"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// stepLoop is a loop without the engine over the sessions of a pipeline's models: each of its goroutines decodes an image, and runs all steps on
// it, one after the other.
type stepLoop struct {
	versions []*version
	batches  [][]*onnx.Batch // of each goroutine, one for each version
}

func newStepLoop(b *testing.B, versions ...*version) *stepLoop {
	b.Helper()
	l := &stepLoop{versions: versions}
	for range runtime.GOMAXPROCS(0) {
		var batches []*onnx.Batch
		for _, v := range versions {
			batch, err := v.sessions[0].NewBatch(context.Background(), onnx.BatchSpec{Rows: 1, RowShapes: v.inputShapes(v.trialSize(0)), TrialShapes: v.trialShapes(), Trial: v.writeTrial})
			if err != nil {
				b.Fatal(err)
			}
			batches = append(batches, batch)
		}
		l.batches = append(l.batches, batches)
	}
	return l
}

func (l *stepLoop) close() {
	for _, batches := range l.batches {
		for _, batch := range batches {
			_ = batch.Close()
		}
	}
}

// predict runs a model on decoded pixels.
func (l *stepLoop) predict(batches []*onnx.Batch, model int, img *preprocess.Image) (postprocess.Prediction, error) {
	v, batch := l.versions[model], batches[model]
	if err := v.reshape(batch, v.plan.InputSize(img.Size())); err != nil {
		return nil, err
	}
	transform, err := v.plan.Pack(img, batch.Input(v.image, 0))
	if err != nil {
		return nil, err
	}
	if err := batch.Run(context.Background(), 1); err != nil {
		return nil, err
	}
	return v.decoder.Decode(batch.Outputs(0), transform, postprocess.Params{})
}

// run does n images, as step has it.
func (l *stepLoop) run(b *testing.B, images [][]byte, n int, step func(batches []*onnx.Batch, img *preprocess.Image) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for _, batches := range l.batches {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				data := images[i%len(images)]
				info, err := header.Read(data, header.Limits{})
				if err != nil {
					b.Error(err)
					return
				}
				img, err := preprocess.DecodeWhole(context.Background(), data, info)
				if err == nil {
					err = step(batches, img)
					img.Close()
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// compareWithLoop alternates between a pipeline and its loop in one run, and reports the ratios.
func compareWithLoop(b *testing.B, e *Engine, name string, images [][]byte, slice int, loop func(n int)) {
	var engineCPU, loopCPU, engineWall, loopWall time.Duration
	for b.Loop() {
		cpu, wall := timed(b, func() { loop(slice) })
		loopCPU, loopWall = loopCPU+cpu, loopWall+wall
		cpu, wall = timed(b, func() { askAll(b, e, name, images, slice) })
		engineCPU, engineWall = engineCPU+cpu, engineWall+wall
	}
	b.ReportMetric(float64(engineCPU)/float64(loopCPU), "cpu-ratio")
	b.ReportMetric(float64(loopWall)/float64(engineWall), "throughput-ratio")
	b.ReportMetric(float64(slice)*float64(b.N)/engineWall.Seconds(), "images/s")
}

// BenchmarkPipelineAgainstLoop classifies what a detector finds.
func BenchmarkPipelineAgainstLoop(b *testing.B) {
	r := newRepository(b)
	r.real("", "yolox-nano")
	r.write(filepath.Join("detect-classify", "model.yaml"), []byte("task: pipeline\nsteps:\n- {name: detect, model: yolox-nano}\n"+
		"- {name: classify, model: efficientnet-lite0, of: detect, crop: {margin: 0.1}}\n"))
	e := r.synced(nil)
	var images [][]byte
	for _, s := range samples(b) {
		images = append(images, s.data)
	}
	l := newStepLoop(b, e.models["yolox-nano"].served[0], e.models["efficientnet-lite0"].served[0])
	defer l.close()
	step := e.models["detect-classify"].pipeline.definition.Steps[1]
	var crops atomic.Int64
	compareWithLoop(b, e, "detect-classify", images, 50, func(n int) {
		l.run(b, images, n, func(batches []*onnx.Batch, img *preprocess.Image) error {
			found, err := l.predict(batches, 0, img)
			if err != nil {
				return err
			}
			for _, box := range found.(*postprocess.Detected).Boxes {
				crops.Add(1)
				if err := l.classify(batches, img, box, step.Crop.Margin); err != nil {
					return err
				}
			}
			return nil
		})
	})
	b.ReportMetric(float64(crops.Load())/float64(b.N)/50, "crops/image")
}

func (l *stepLoop) classify(batches []*onnx.Batch, img *preprocess.Image, box postprocess.Box, margin float64) error {
	crop, err := img.Crop(boxWithMargin(box, margin))
	if err != nil {
		return err
	}
	defer crop.Close()
	_, err = l.predict(batches, 1, crop)
	return err
}

func boxWithMargin(b postprocess.Box, margin float64) image.Rectangle {
	x, y := margin*(b.X2-b.X1), margin*(b.Y2-b.Y1)
	return geometry.Box{MinX: b.X1 - x, MinY: b.Y1 - y, MaxX: b.X2 + x, MaxY: b.Y2 + y}.Pixels()
}

// page is an image of a page with n lines of text in two columns.
func page(b *testing.B, n int) []byte {
	b.Helper()
	const width, margin, step, size = 1240, 40, 34, 20
	img := image.NewRGBA(image.Rect(0, 0, width, 2*margin+step*((n+1)/2)))
	draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		b.Fatal(err)
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72})
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(7, 7))
	words := strings.Fields("the quick brown fox jumps over a lazy dog while seven bridges cross the river at noon and trains leave platform three for London")
	for i := range n {
		text := fmt.Sprintf("%d.", i+1)
		for len(text) < 36 {
			text += " " + words[random.IntN(len(words))]
		}
		drawer := font.Drawer{Dst: img, Src: image.Black, Face: face, Dot: fixed.P(margin+i%2*width/2, margin+i/2*step+step/2)}
		drawer.DrawString(text)
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

// BenchmarkOCRAgainstLoop reads a page of 100 lines with the models ppocr-det, ppocr-cls and ppocr-rec of the repository $FOVEA_TEST_OCR, and the
// pipeline of docs/pipelines.
func BenchmarkOCRAgainstLoop(b *testing.B) {
	dir := os.Getenv("FOVEA_TEST_OCR")
	if dir == "" {
		b.Skip("FOVEA_TEST_OCR is not set")
	}
	r := newRepository(b)
	for _, name := range []string{"ppocr-det", "ppocr-cls", "ppocr-rec"} {
		if err := os.CopyFS(filepath.Join(r.dir, name), os.DirFS(filepath.Join(dir, name))); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(r.dir, "ocr"), os.DirFS("../docs/pipelines/ocr")); err != nil {
		b.Fatal(err)
	}
	e := r.synced(nil)
	images := [][]byte{page(b, 100)}
	response, err := e.Predict(context.Background(), Request{Model: "ocr", Image: images[0]})
	if err != nil {
		b.Fatal(err)
	}
	lines := response.Prediction.(*postprocess.Piped).Steps[0].Prediction.(*postprocess.TextLines).Lines
	l := newStepLoop(b, e.models["ppocr-det"].served[0], e.models["ppocr-cls"].served[0], e.models["ppocr-rec"].served[0])
	defer l.close()
	var read atomic.Int64
	compareWithLoop(b, e, "ocr", images, 4, func(n int) {
		l.run(b, images, n, func(batches []*onnx.Batch, img *preprocess.Image) error {
			found, err := l.predict(batches, 0, img)
			if err != nil {
				return err
			}
			for _, line := range found.(*postprocess.TextLines).Lines {
				text, err := l.read(batches, img, line.Corners)
				if err != nil {
					return err
				}
				if text.Score >= 0.5 {
					read.Add(1)
				}
			}
			return nil
		})
	})
	b.ReportMetric(float64(len(lines)), "lines")
	b.ReportMetric(float64(read.Load())/float64(b.N)/4, "lines-of-loop")
}

// read crops a line, turns it if it is upside down, and reads it.
func (l *stepLoop) read(batches []*onnx.Batch, img *preprocess.Image, corners [4]geometry.Point) (*postprocess.Recognized, error) {
	width, height := preprocess.QuadSize(corners)
	w, h := float64(width), float64(height)
	m, _ := geometry.Perspective(corners, [4]geometry.Point{{0, 0}, {w, 0}, {w, h}, {0, h}})
	warping := preprocess.Warping{ToCrop: m, Width: width, Height: height, Cubic: true}
	crop, err := img.Warp(warping)
	if err != nil {
		return nil, err
	}
	defer func() { crop.Close() }()
	direction, err := l.predict(batches, 1, crop)
	if err != nil {
		return nil, err
	}
	if c := direction.(*postprocess.Classified); c.Top[0].Label == "180" && c.Top[0].Score >= 0.9 {
		crop.Close()
		warping.Turns = 2
		if crop, err = img.Warp(warping); err != nil {
			return nil, err
		}
	}
	text, err := l.predict(batches, 2, crop)
	if err != nil {
		return nil, err
	}
	return text.(*postprocess.Recognized), nil
}

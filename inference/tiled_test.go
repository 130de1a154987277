package inference

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
	"fovea/postprocess"
)

// cell is the side of what cellModel finds, perSide how many there are along its input.
const (
	cell    = 8
	perSide = 8
)

// cellModel finds an object in each cell of its input of 64×64 pixels: its score is the mean of the red pixels. With angles, rows have a
// class and an angle of 0.
func cellModel(batch any, angles bool) *onnxwriter.Model {
	m, columns := &onnxwriter.Model{}, 5
	if angles {
		columns = 7
	}
	m.Input("image", onnxwriter.Float, batch, 3, cell*perSide, cell*perSide)
	m.Ints("red", []int64{0}, 1)
	m.Node("Gather", "channel", onnxwriter.Attributes{"axis": 1}, "image", "red")
	m.Node("AveragePool", "pooled", onnxwriter.Attributes{"kernel_shape": []int{cell, cell}, "strides": []int{cell, cell}}, "channel")
	m.Ints("shape", []int64{0, perSide * perSide, 1}, 3)
	m.Node("Reshape", "scores", nil, "pooled", "shape")
	var boxes, pattern []float32
	for i := range perSide * perSide {
		x, y := float32(i%perSide*cell), float32(i/perSide*cell)
		row := []float32{x, y, x + cell, y + cell}
		if angles {
			row = []float32{x + cell/2, y + cell/2, cell, cell}
		}
		boxes = append(append(boxes, row...), make([]float32, columns-4)...)
	}
	pattern = append(make([]float32, 4), append([]float32{1}, make([]float32, columns-5)...)...)
	m.Floats("boxes", boxes, 1, perSide*perSide, columns)
	m.Floats("pattern", pattern, 1, 1, columns)
	m.Node("Mul", "placed", nil, "scores", "pattern")
	m.Node("Add", "found", nil, "placed", "boxes")
	m.Output("found", onnxwriter.Float, batch, perSide*perSide, columns)
	return m
}

const cellDefinition = `task: detection
input: {scale: 0.00392156862745098}
output: {decode: rows, columns: [x1, y1, x2, y2, score], score_threshold: 0.5, max_boxes: 200}
instances: [{device: cpu, count: 2}]
`

// cellImage is an image of a number of perSide, some of which are red.
func cellImage(t testing.TB, columns, rows int, isRed func(i int) bool) (data []byte, want []image.Rectangle) {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, columns*cell, rows*cell))
	for i := range img.Pix {
		img.Pix[i] = [4]byte{0, 0, 0, 255}[i%4]
	}
	for i := range columns * rows {
		if !isRed(i) {
			continue
		}
		r := image.Rect(0, 0, cell, cell).Add(image.Pt(i%columns*cell, i/columns*cell))
		want = append(want, r)
		for p := range cell * cell {
			img.SetRGBA(r.Min.X+p%cell, r.Min.Y+p/cell, color.RGBA{255, 0, 0, 255})
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), want
}

// boxesOf are the boxes of a prediction in the order of cellImage.
func boxesOf(p postprocess.Prediction) (list []image.Rectangle) {
	objects, _ := p.(postprocess.Objects)
	for i := range objects.Len() {
		b := objects.Box(i)
		list = append(list, image.Rect(int(b.X1), int(b.Y1), int(b.X2), int(b.Y2)))
	}
	slices.SortFunc(list, func(a, b image.Rectangle) int { return cmp.Or(a.Min.Y-b.Min.Y, a.Min.X-b.Min.X) })
	return list
}

// tilesOf are parameters of a request.
func tilesOf(t testing.TB, given ...any) (p TileParams) {
	t.Helper()
	for i := 0; i < len(given); i += 2 {
		if err := p.Set(given[i].(string), given[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// TestTilesFindTheObjectsOfLargeImages sends images with random objects and of random sizes at the same time, in tiles and not.
func TestTilesFindTheObjectsOfLargeImages(t *testing.T) {
	for name, definition := range map[string]string{
		"batches of 1": cellDefinition,
		"batches of 4": cellDefinition + "batching: {max_size: 4}\n",
		"rotated": strings.NewReplacer("task: detection", "task: oriented_detection", "[x1, y1, x2, y2, score]", "[cx, cy, w, h, score, class]").
			Replace(cellDefinition),
	} {
		t.Run(name, func(t *testing.T) {
			e := newRepository(t).made("m", definition+"tiles: {whole_image: false}\n", cellModel("n", name == "rotated")).synced(nil)
			var wg sync.WaitGroup
			for worker := range uint64(4) {
				wg.Go(func() {
					random := rand.New(rand.NewPCG(worker, 1))
					for i := range 10 {
						columns, rows := 1+random.IntN(20), 1+random.IntN(20)
						if i%3 == 0 {
							columns, rows = perSide, perSide
						}
						data, want := cellImage(t, columns, rows, func(int) bool { return random.IntN(4) == 0 })
						r := Request{Image: data, Tiles: tilesOf(t, TileParam, 64, OverlapParam, 0.25)}
						if i%3 == 0 {
							r.Tiles = TileParams{}
						} else if columns < perSide || rows < perSide { // would be enlarged
							continue
						}
						got, err := e.Predict(t.Context(), r)
						if err != nil {
							t.Error(err)
							return
						}
						if !slices.Equal(boxesOf(got.Prediction), want) {
							t.Errorf("%d×%d: %v, want %v", columns, rows, boxesOf(got.Prediction), want)
						}
						if w, h := got.Prediction.(postprocess.Objects).Size(); w != columns*cell || h != rows*cell {
							t.Errorf("the size is %d×%d", w, h)
						}
					}
				})
			}
			wg.Wait()
			atRest(t, e)
		})
	}
}

// TestTilesAndTheWholeImage has objects that a tile shows and one that only the whole image shows.
func TestTilesAndTheWholeImage(t *testing.T) {
	counter := &tileCounter{}
	r := newRepository(t).made("m", cellDefinition+"batching: {max_size: 8}\n", cellModel("n", false)).made("tiled", cellDefinition+"tiles: {size: 64, overlap: 0}\n", cellModel(1, false))
	e := r.engine(func(c *Config) { c.Default = "m" })
	e.shared.obs = counter
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, small := cellImage(t, 4*perSide, 4*perSide, func(i int) bool { return i == 5 || i == 900 })
	for what, c := range map[string]struct {
		r     Request
		boxes []image.Rectangle
		tiles int
	}{
		"no tiles":                    {Request{Image: data}, nil, 0},
		"tiles":                       {Request{Image: data, Tiles: tilesOf(t, TileParam, "64", OverlapParam, 0.0)}, small, 16},
		"the definition's tiles":      {Request{Model: "tiled", Image: data}, small, 16},
		"not the definition's tiles":  {Request{Model: "tiled", Image: data, Tiles: tilesOf(t, TileParam, "none")}, nil, 0},
		"another overlap":             {Request{Model: "tiled", Image: data, Tiles: tilesOf(t, OverlapParam, 0.5)}, small, 49},
		"a width and a height":        {Request{Image: data, Tiles: tilesOf(t, TileParam, "64x256", OverlapParam, 0.0)}, nil, 4},
		"larger than the image":       {Request{Image: data, Tiles: tilesOf(t, TileParam, 1000)}, nil, 1},
		"at most one object":          {Request{Image: data, Tiles: tilesOf(t, TileParam, 64, OverlapParam, 0.0), Params: postprocess.Params{MaxBoxes: 1}}, small[1:], 16},
		"a row, which has no tiles":   {Request{Model: "tiled", Row: make([]byte, 4*3*64*64)}, nil, 0},
		"scores that only tiles have": {Request{Image: data, Tiles: tilesOf(t, TileParam, 64, OverlapParam, 0.0, WholeImageParam, true), Params: postprocess.Params{Score: new(float64(0.05))}}, append(slices.Clone(small[:1]), small[1]), 16},
	} {
		got, err := e.Predict(t.Context(), c.r)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		d, _ := got.Prediction.(*postprocess.Detected)
		if d.Tiles != c.tiles || what != "scores that only tiles have" && !slices.Equal(boxesOf(d), c.boxes) {
			t.Errorf("%s: %d tiles, %v; want %d, %v", what, d.Tiles, boxesOf(d), c.tiles, c.boxes)
		}
		if what == "scores that only tiles have" && len(d.Boxes) != 4 { // those of the whole image are 4 times as large, with a score of 1/16
			t.Errorf("%s: %v", what, d.Boxes)
		}
	}
	if want := []int{16, 16, 49, 4, 1, 16, 16}; !slices.Equal(slices.Sorted(slices.Values(counter.tiles)), slices.Sorted(slices.Values(want))) {
		t.Errorf("the observer got %v, want %v", counter.tiles, want)
	}
	s := opened(t, e, "m").Statistics(OfImages)
	if s.Success.Count != 6 || s.Rows != 1+17+5+1+17+17 || s.Runs < 8 || s.Runs >= s.Rows {
		t.Errorf("%+v", s)
	}
	atRest(t, e)
}

// tileCounter collects what the observer gets.
type tileCounter struct {
	noObserver
	mu           sync.Mutex
	tiles        []int
	queued, most int
}

func (c *tileCounter) Tiles(_, _ string, tiles int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tiles = append(c.tiles, tiles)
}

func (c *tileCounter) Queue(_, _ string, change int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queued += change
	c.most = max(c.most, c.queued)
}

func TestTilesThatAreRefused(t *testing.T) {
	r := newRepository(t).made("m", cellDefinition+"tiles: {max: 20}\n", cellModel("n", false)).define("colors", colors).add("colors", 1, "colors").
		made("turned", strings.NewReplacer("task: detection", "task: oriented_detection", "[x1, y1, x2, y2, score]", "[cx, cy, w, h, score, class]").Replace(cellDefinition), cellModel(1, true))
	e := r.synced(nil)
	data, _ := cellImage(t, 60, 60, func(int) bool { return false })
	for what, c := range map[string]struct {
		model string
		tiles TileParams
		want  string
	}{
		"a classifier":           {"colors", tilesOf(t, TileParam, 64), "tile is for models that find objects (detection, oriented_detection, instance_segmentation, pose); the task of this model is classification"},
		"a part for one":         {"colors", tilesOf(t, OverlapParam, 0.5), "overlap is for models that find objects"},
		"an overlap of nothing":  {"m", tilesOf(t, OverlapParam, 0.5), "overlap needs tile"},
		"a merge of nothing":     {"m", tilesOf(t, TileParam, "none", MergeParam, "nms"), "merge needs tile"},
		"too many":               {"m", tilesOf(t, TileParam, 64, OverlapParam, 0.99), "the image of 480×480 pixels has 173889 tiles of 64×64 that overlap by 0.99; the limit of this model is 20"},
		"one more than allowed":  {"m", tilesOf(t, TileParam, "240x240", OverlapParam, 0.7), "the limit of this model is 20"},
		"turned boxes that grow": {"turned", tilesOf(t, TileParam, 64, MergeParam, "nmm"), "merge is nmm, which does not apply to models whose task is oriented_detection; allowed: nms"},
	} {
		_, err := e.Predict(t.Context(), Request{Model: c.model, Image: data, Tiles: c.tiles})
		if f := apierror.From(err); err == nil || f.Code != apierror.InvalidParameter || !strings.Contains(f.Message, c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	if _, err := e.Predict(t.Context(), Request{Model: "m", Image: data[:len(data)/2], Tiles: tilesOf(t, TileParam, 240)}); apierror.From(err).Code != apierror.Undecodable {
		t.Errorf("half an image: %v", err)
	}
	atRest(t, e)
}

// TestCanceledTiles cancels a request while its tiles wait for runs that do not end, and while they are packed.
func TestCanceledTiles(t *testing.T) {
	e := newRepository(t).made("m", cellDefinition, cellModel("n", false)).synced(nil)
	v := e.models["m"].served[0]
	data, _ := cellImage(t, 60, 60, func(int) bool { return true })
	request := Request{Image: data, Tiles: tilesOf(t, TileParam, 64)}
	for n := range 5 {
		entered, open := hold(v, nil)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() {
			_, err := e.Predict(ctx, request)
			failed <- err
		}()
		for range min(n, 2) {
			<-entered
		}
		cancel()
		if err := <-failed; apierror.From(err).Code != apierror.Canceled {
			t.Errorf("got %v", err)
		}
		close(open)
		replaceRuns(v, nil)
	}
	if got, err := e.Predict(t.Context(), request); err != nil || len(got.Prediction.(*postprocess.Detected).Boxes) == 0 {
		t.Errorf("afterwards: %v, %v", got, err)
	}
	settled(t, v)
	atRest(t, e)
}

// TestFailedTile fails the run of one tile: that is the image's error, and nothing is held afterwards.
func TestFailedTile(t *testing.T) {
	e := newRepository(t).made("m", cellDefinition, cellModel("n", false)).synced(nil)
	v := e.models["m"].served[0]
	data, _ := cellImage(t, 60, 60, func(int) bool { return true })
	var mu sync.Mutex
	n := 0
	replaceRuns(v, func(_ context.Context, run func() error) error {
		mu.Lock()
		defer mu.Unlock()
		if n++; n == 30 {
			return errors.New("broken")
		}
		return run()
	})
	if _, err := e.Predict(t.Context(), Request{Image: data, Tiles: tilesOf(t, TileParam, 64)}); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v", err)
	}
	replaceRuns(v, nil)
	settled(t, v)
	atRest(t, e)
}

// settled waits until runs whose rows were given back are over.
func settled(t *testing.T, v *version) {
	t.Helper()
	for v.batcher.InUse() != nil {
		if t.Context().Err() != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// TestTilesLeaveRoomForOthers has images answered while one of many tiles is in progress, which holds half of the queue.
func TestTilesLeaveRoomForOthers(t *testing.T) {
	counter := &tileCounter{}
	e := newRepository(t).made("m", strings.Replace(cellDefinition, "count: 2", "count: 1", 1)+"tiles: {whole_image: false}\nbatching: {queue: 20}\n", cellModel("n", false)).engine(nil)
	e.shared.obs = counter
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := e.models["m"].served[0]
	large, want := cellImage(t, 80, 80, func(i int) bool { return i%7 == 0 })
	small, _ := cellImage(t, perSide, perSide, func(i int) bool { return i == 3 })
	step := make(chan struct{})
	replaceRuns(v, func(_ context.Context, run func() error) error {
		<-step
		return run()
	})
	answer := make(chan error)
	go func() {
		got, err := e.Predict(t.Context(), Request{Image: large, Tiles: tilesOf(t, TileParam, 64, OverlapParam, 0.0)}) // 100 tiles
		if err == nil && !slices.Equal(boxesOf(got.Prediction), want) {
			err = fmt.Errorf("%d boxes, want %d", len(boxesOf(got.Prediction)), len(want))
		}
		answer <- err
	}()
	step <- struct{}{} // its first tile runs
	if n := v.queue.len(); n != 10 {
		t.Errorf("%d places are held, want 10", n)
	}
	others := make(chan error, 10)
	for range 10 {
		go func() {
			_, err := e.Predict(t.Context(), Request{Image: small})
			others <- err
		}()
	}
	for v.queue.len() < 20 {
		time.Sleep(time.Millisecond)
	}
	if _, err := e.Predict(t.Context(), Request{Image: small}); apierror.From(err).Code != apierror.QueueFull {
		t.Errorf("beyond the bound: %v", err)
	}
	if _, err := e.Predict(t.Context(), Request{Image: large, Tiles: tilesOf(t, TileParam, 64)}); apierror.From(err).Code != apierror.QueueFull {
		t.Errorf("tiles beyond the bound: %v", err)
	}
	for answered := 0; answered < 10; {
		select {
		case step <- struct{}{}:
		case err := <-others:
			if answered++; err != nil {
				t.Error(err)
			}
		case err := <-answer:
			t.Fatalf("100 tiles were answered before 10 images: %v", err)
		}
	}
	close(step)
	if err := <-answer; err != nil {
		t.Error(err)
	}
	if counter.most > 20 || counter.queued != 0 {
		t.Errorf("%d were counted as waiting, %d are", counter.most, counter.queued)
	}
	atRest(t, e)
}

func TestPlacesOfTiles(t *testing.T) {
	for what, c := range map[string]struct {
		bound, tiles int
		share        float64
		held         []int // after each tile, beginning with none
	}{
		"fewer than half":           {20, 3, 0, []int{3, 2, 1, 0}},
		"more than half":            {6, 5, 0, []int{3, 3, 3, 2, 1, 0}},
		"a queue of one":            {1, 2, 0, []int{1, 1, 0}},
		"more than a client's part": {20, 4, 0.1, []int{2, 2, 2, 1, 0}},
		"a small part":              {4, 2, 0.1, []int{1, 1, 0}},
	} {
		q := &queue{bound: c.bound, report: func(int) {}}
		p, err := q.enterTiles(c.tiles, "a", c.share)
		if err != nil {
			t.Fatal(err)
		}
		var held []int
		for i := range c.tiles + 1 {
			held = append(held, q.len())
			if i < c.tiles {
				p.answered()
			}
		}
		if !slices.Equal(held, c.held) {
			t.Errorf("%s: %v, want %v", what, held, c.held)
		}
		p.leave()
		if q.len() != 0 {
			t.Errorf("%s: %d are left", what, q.len())
		}
	}
	q := &queue{bound: 20, report: func(int) {}}
	p, err := q.enterTiles(9, "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.enterTiles(11, "a", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := q.enterTiles(2, "a", 0); apierror.From(err).Code != apierror.QueueFull {
		t.Errorf("got %v", err)
	}
	p.answered()
	p.leave()
	if q.len() != 10 {
		t.Errorf("%d are left, want 10", q.len())
	}
}

func FuzzTileParams(f *testing.F) {
	for _, seed := range []string{"640", "640x480", "none", "0", "-1", "31", "1e3", "99999999999999999999", "640x", "x640", "0x280", "640X480", "NaN", "true"} {
		f.Add("tile", seed, 0.2)
	}
	f.Add("overlap", "0.2", 1.0)
	f.Fuzz(func(t *testing.T, name, text string, number float64) {
		var p TileParams
		if err := p.Set(name, text); err == nil && p.Size != nil {
			var again repository.TileSize
			if again.UnmarshalText([]byte(p.Size.String())) != nil || again != *p.Size {
				t.Errorf("%q is %v, and that %v", text, *p.Size, again)
			}
			if s := *p.Size; !s.IsZero() && (s.Width < 32 || s.Height < 32 || max(s.Width, s.Height) > 32768) {
				t.Errorf("%q is %v", text, s)
			}
		}
		if err := p.Set(name, number); err == nil {
			if p.Overlap != nil && !(*p.Overlap >= 0 && *p.Overlap < 1) || p.Threshold != nil && !(*p.Threshold > 0 && *p.Threshold <= 1) {
				t.Errorf("%s: %v is allowed", name, number)
			}
		}
	})
}

// TestPipelinesOfTiles has models with tiles see a whole image, and crops of it.
func TestPipelinesOfTiles(t *testing.T) {
	r := newRepository(t).addFinder("finder").define("colors", colors).add("colors", 1, "colors").
		made("cells", cellDefinition+"tiles: {size: 64, overlap: 0, whole_image: false}\nbatching: {queue: 5}\n", cellModel("n", false)).
		define("first", "task: pipeline\nsteps:\n  - {name: cells, model: cells}\n  - {name: color, model: colors, of: cells, parameters: {top_k: 1}}\n").
		define("second", "task: pipeline\nsteps:\n  - {name: find, model: finder}\n  - {name: cells, model: cells, of: find}\n")
	e := r.synced(nil)
	data, want := cellImage(t, 6*perSide, 2*perSide, func(i int) bool { return i%11 == 0 })
	for range 3 {
		got, err := e.Predict(t.Context(), Request{Model: "first", Image: data})
		if err != nil {
			t.Fatal(err)
		}
		step := got.Prediction.(*postprocess.Piped).Steps[0]
		if found := step.Prediction.(*postprocess.Detected); found.Tiles != 12 || !slices.Equal(boxesOf(found), want) || step.Objects[0].Find("color").(*postprocess.Classified).Top[0].Label != "red" {
			t.Errorf("%+v, want %v", found, want)
		}
		if got, err = e.Predict(t.Context(), Request{Model: "second", Image: data}); err != nil {
			t.Fatal(err)
		}
		var all []image.Rectangle
		for _, object := range got.Prediction.(*postprocess.Piped).Steps[0].Objects {
			found := object.Find("cells").(*postprocess.Detected)
			if all = append(all, boxesOf(found)...); found.Tiles != 4 || found.Width != 6*perSide*cell {
				t.Errorf("%+v", found)
			}
		}
		slices.SortFunc(all, func(a, b image.Rectangle) int { return cmp.Or(a.Min.Y-b.Min.Y, a.Min.X-b.Min.X) })
		if !slices.Equal(all, want) {
			t.Errorf("of crops: %v, want %v", all, want)
		}
	}
	if _, err := e.Predict(t.Context(), Request{Model: "first", Image: data, Tiles: tilesOf(t, TileParam, 64)}); apierror.From(err).Code != apierror.InvalidParameter {
		t.Errorf("a tile of a pipeline: %v", err)
	}
	atRest(t, e)
}

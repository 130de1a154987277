package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"strings"
	"testing"

	"fovea/internal/palette"
	"fovea/internal/testenv"
)

type boxes struct {
	Boxes []struct {
		Label                 string
		Score, X1, Y1, X2, Y2 float64
	}
	Width, Height int
}

// testOrientation: a bright spot in an image that is stored on its side is where the page draws it, and its box around it.
func testOrientation(t *testing.T, b *tab, p *process) {
	const width, height = 400, 300 // as stored; the spot's center is (280, 90)
	stored := halves(width, height, color.Black, color.Black)
	draw.Draw(stored, image.Rect(270, 80, 290, 100), image.White, image.Point{}, draw.Src)
	data := jpegWithOrientation(t, stored, 6) // to be turned right: (x, y) becomes (height-y, x)
	truth := serverSays[boxes](t, p, "spot", data, "?score_threshold=0.8")
	if truth.Width != height || truth.Height != width || len(truth.Boxes) != 1 {
		t.Fatalf("the server sees %+v", truth)
	}
	box := truth.Boxes[0]
	if x, y := (box.X1+box.X2)/2, (box.Y1+box.Y2)/2; math.Abs(x-210) > 4 || math.Abs(y-280) > 4 {
		t.Fatalf("the server finds the spot at %g, %g", x, y)
	}
	b.choose("spot")
	b.upload(imageFile(t, "turned.jpg", data))
	b.says("1 spot, 1 wide")
	b.click(`[data-class="wide"]`)
	b.says("1 object: 1 spot")
	img := b.savedImage()
	if img.Bounds() != image.Rect(0, 0, height, width) {
		t.Fatalf("the image is %v", img.Bounds())
	}
	if !near(img.At(210, 280), color.White, 40) || !near(img.At(280, 90), color.Black, 40) {
		t.Errorf("the spot is not where it is in the upright image: %v, %v", img.At(210, 280), img.At(280, 90))
	}
	checkOutline(t, img, box.X1, box.Y1, box.X2, box.Y2, palette.Color(0))

	// The same on the screen, where the image is enlarged.
	for name, point := range map[string][2]float64{"left": {box.X1, 280}, "right": {box.X2, 280}, "top": {210, box.Y1}, "bottom": {210, box.Y2}} {
		if name == "top" {
			point[0] = box.X2 - 8 // not where the label is
		}
		if got := b.onScreen(point[0], point[1], height, width); !near(got, palette.Color(0), 40) {
			t.Errorf("on the screen, the %s edge has the color %v", name, got)
		}
	}
	for name, point := range map[string][2]float64{"left": {box.X1 - 3, 280}, "right": {box.X2 + 3, 280}, "bottom": {210, box.Y2 + 3}, "inside": {box.X1 + 3, 280}} {
		if got := b.onScreen(point[0], point[1], height, width); near(got, palette.Color(0), 90) {
			t.Errorf("on the screen, the edge is also %s of its place", name)
		}
	}
}

// onScreen returns the color of the view at a point of an image that it shows whole.
func (b *tab) onScreen(x, y float64, width, height int) color.Color {
	b.t.Helper()
	c := value[[]int](b, fmt.Sprintf(`(() => {
		const canvas = document.querySelector('#canvas'), w = canvas.clientWidth, h = canvas.clientHeight, width = %d, height = %d;
		const scale = Math.min(w / width, h / height, 4);
		const x = (w - width * scale) / 2 + scale * %g, y = (h - height * scale) / 2 + scale * %g;
		return [...canvas.getContext('2d').getImageData(Math.floor(x), Math.floor(y), 1, 1).data];
	})()`, width, height, x, y))
	return color.RGBA{uint8(c[0]), uint8(c[1]), uint8(c[2]), 255}
}

// near reports whether no channel of two colors differs by more than a limit.
func near(a, b color.Color, limit int) bool {
	x, y := color.RGBAModel.Convert(a).(color.RGBA), color.RGBAModel.Convert(b).(color.RGBA)
	far := func(p, q uint8) bool { return max(p, q)-min(p, q) > uint8(limit) }
	return !far(x.R, y.R) && !far(x.G, y.G) && !far(x.B, y.B)
}

// checkOutline checks that the middle of each line of a box is at its coordinate, to the pixel. The upper one may have a label.
func checkOutline(t *testing.T, img image.Image, x1, y1, x2, y2 float64, want color.Color) {
	t.Helper()
	is := func(x, y float64) bool { return near(img.At(int(x), int(y)), want, 100) }
	for name, edge := range map[string]struct{ x, y, dx, dy float64 }{
		"left": {x1, (y1 + y2) / 2, 1, 0}, "right": {x2, (y1 + y2) / 2, 1, 0}, "bottom": {(x1 + x2) / 2, y2, 0, 1},
	} {
		var on []float64 // distances from the coordinate at which there is the line
		for d := -6.0; d <= 6; d++ {
			if is(edge.x+d*edge.dx, edge.y+d*edge.dy) {
				on = append(on, math.Floor(edge.x*edge.dx+edge.y*edge.dy+d)+0.5-edge.x*edge.dx-edge.y*edge.dy)
			}
		}
		if len(on) == 0 || len(on) > 4 || math.Abs((on[0]+on[len(on)-1])/2) > 1 {
			t.Errorf("the %s edge is drawn at distances %v from its coordinate", name, on)
		}
	}
}

// testOrientations: the browser turns images of all formats as the server does.
func testOrientations(t *testing.T, b *tab, p *process) {
	b.choose("vector") // whose predictions are not drawn
	webp := testenv.FormatSample(t, "webp_exif6.webp")
	turned := map[string][]byte{}
	at := bytes.Index(webp, []byte("\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06"))
	if at < 0 {
		t.Fatal("the sample has no orientation")
	}
	for orientation := 2; orientation <= 8; orientation++ {
		data := bytes.Clone(webp)
		data[at+9] = byte(orientation)
		turned[fmt.Sprintf("webp_exif%d.webp", orientation)] = data
	}
	for _, name := range []string{"jpeg_exif1.jpg", "jpeg_exif2.jpg", "jpeg_exif3.jpg", "jpeg_exif4.jpg", "jpeg_exif5.jpg", "jpeg_exif6.jpg", "jpeg_exif7.jpg",
		"jpeg_exif8.jpg", "png_exif6.png", "webp_lossy.webp", "bmp_24.bmp"} {
		turned[name] = testenv.FormatSample(t, name)
	}
	for name, data := range turned {
		drawn := p.post("/v1/models/vector/predict?annotate=png", "application/octet-stream", data)
		want, err := png.Decode(strings.NewReader(drawn.body))
		if err != nil {
			t.Fatalf("%s: %v in %.200s", name, err, drawn.body)
		}
		b.upload(imageFile(t, name, data))
		b.says(name + ": a vector")
		got := b.savedImage()
		factor := want.Bounds().Dx() / got.Bounds().Dx() // the server enlarges small images
		if want.Bounds().Dx() != got.Bounds().Dx()*factor || want.Bounds().Dy() != got.Bounds().Dy()*factor {
			t.Errorf("%s: the page has %v, the server %v", name, got.Bounds(), want.Bounds())
			continue
		}
		sum := 0.0
		for y := range got.Bounds().Dy() {
			for x := range got.Bounds().Dx() {
				g, w := color.GrayModel.Convert(got.At(x, y)).(color.Gray), color.GrayModel.Convert(want.At(x*factor+factor/2, y*factor+factor/2)).(color.Gray)
				sum += math.Abs(float64(g.Y) - float64(w.Y))
			}
		}
		if mean := sum / float64(got.Bounds().Dx()*got.Bounds().Dy()); mean > 3 { // decoders differ by 1 or 2
			t.Errorf("%s: pixels differ by %.1f of 255 from the server's", name, mean)
		}
		b.click("#clear")
	}
}

// testTasks: the answer of each task is drawn where the server says.
func testTasks(t *testing.T, b *tab, _ *process) {
	gray, white := color.Gray{100}, color.Gray{250}
	mixed := func(under, over color.Color, share float64) color.Color {
		u, o := color.RGBAModel.Convert(under).(color.RGBA), color.RGBAModel.Convert(over).(color.RGBA)
		mix := func(a, b uint8) uint8 { return uint8((1-share)*float64(a) + share*float64(b)) }
		return color.RGBA{mix(u.R, o.R), mix(u.G, o.G), mix(u.B, o.B), 255}
	}
	for _, c := range []struct {
		model, says string
		img         image.Image
		want        map[image.Point]color.Color
	}{
		{"regions", "green 50 %, blue 50 %", halves(480, 480, channels["green"], channels["blue"]), map[image.Point]color.Color{
			{100, 200}: mixed(channels["green"], palette.Color(1), 0.5), {400, 200}: mixed(channels["blue"], palette.Color(2), 0.5)}},
		{"depth", "depth from 0.00 to 1.00", halves(480, 480, color.Black, color.White), map[image.Point]color.Color{
			{100, 200}: mixed(color.Black, color.RGBA{0, 0, 4, 255}, 0.85), {400, 200}: mixed(color.White, color.RGBA{252, 255, 164, 255}, 0.85)}},
		{"anomaly", "anomalous, score 1.000", halves(480, 480, color.Black, color.White), map[image.Point]color.Color{
			{100, 200}: mixed(color.Black, color.RGBA{0, 0, 4, 255}, 0.5), {400, 200}: mixed(color.White, color.RGBA{252, 255, 164, 255}, 0.5)}},
		{"negative", "an image of 48 × 48 pixels", halves(48, 48, color.Black, color.White), map[image.Point]color.Color{
			{5, 20}: color.White, {40, 20}: color.Black}},
		// The square of 24 × 8 is turned by an eighth around the center: its corners are at ±(8+√2·…) of it.
		{"turned", "1 object: 1 ship", halves(480, 480, gray, gray), map[image.Point]color.Color{
			{240 - 28, 240 + 28}: palette.Color(0), {240 + 28, 240 - 28}: palette.Color(0), {240, 240}: gray, {240 - 40, 240 + 40}: gray}},
		{"person", "1 object: 1 person", halves(480, 480, gray, gray), map[image.Point]color.Color{
			{240, 160}: palette.Color(0), {160, 240}: palette.Color(1), {200, 200}: palette.Color(0), {240, 320}: gray, {120, 300}: palette.Color(0)}},
		{"masked", "1 object: 1 half", halves(480, 480, white, white), map[image.Point]color.Color{
			{180, 240}: mixed(white, palette.Color(0), 0.5), {300, 240}: white, {60, 240}: white, {360, 300}: palette.Color(0)}},
	} {
		b.choose(c.model)
		b.upload(imageFile(t, c.model+".png", pngOf(t, c.img)))
		b.says(c.model + ".png: " + c.says)
		img := b.savedImage()
		for at, want := range c.want {
			if got := img.At(at.X, at.Y); !near(got, want, 25) {
				t.Errorf("%s: the pixel %v is %v, want %v", c.model, at, got, want)
			}
		}
		b.click("#clear")
	}
}

func testLines(t *testing.T, b *tab, p *process) {
	img := halves(480, 480, color.Black, color.Black)
	draw.Draw(img, image.Rect(100, 200, 380, 280), image.White, image.Point{}, draw.Src)
	truth := serverSays[struct {
		Lines []struct{ Corners [4][2]float64 }
	}](t, p, "lines", pngOf(t, img), "")
	if len(truth.Lines) != 1 {
		t.Fatalf("the server finds %v", truth.Lines)
	}
	b.choose("lines")
	b.upload(imageFile(t, "text.png", pngOf(t, img)))
	b.says("text.png: 1 line")
	drawn, corners := b.savedImage(), truth.Lines[0].Corners
	for i, from := range corners {
		to := corners[(i+1)%4]
		x, y := (from[0]+to[0])/2, (from[1]+to[1])/2
		if got := drawn.At(int(x), int(y)); !near(got, color.RGBA{37, 99, 235, 255}, 60) {
			t.Errorf("the side at %g, %g has the color %v", x, y, got)
		}
	}
}

// testSteps: what a later step says about an object is with it.
func testSteps(t *testing.T, b *tab, _ *process) {
	b.choose("steps")
	b.upload(imageFile(t, "green.png", pngOf(t, halves(480, 480, channels["green"], channels["green"]))))
	b.says("green.png: 3 objects: 2 spot, 1 wide")
	got := value[[]string](b, "[...document.querySelectorAll('#objects .name')].map((e) => e.textContent)")
	if want := "spot: green, wide: green, spot: green"; strings.Join(got, ", ") != want {
		t.Errorf("the objects are %v, want %s", got, want)
	}
	if x, y := 240-0.1*480, 240.0; !near(b.savedImage().At(int(x), int(y)), palette.Color(0), 60) {
		t.Error("the first step's box is not drawn")
	}
}

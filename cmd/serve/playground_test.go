package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/apikey"
	"fovea/internal/palette"
	"fovea/internal/testenv"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestPlayground tries the page in Chromium.
func TestPlayground(t *testing.T) {
	chrome := startChromium(t)
	p := start(t, playgroundRepository(t), "--inference.default=colors").waitReady()
	for _, name := range []string{"colors", "spot", "regions", "depth", "anomaly", "negative", "vector", "turned", "person", "masked"} {
		p.waitServed(name)
	}
	url := "http://" + p.address + "/"
	for name, test := range map[string]func(t *testing.T, b *tab, p *process){
		"ways to send an image": testUploads, "the camera": testCamera, "EXIF orientation": testOrientation, "images of all orientations": testOrientations,
		"tasks": testTasks, "sliders and classes": testSliders, "errors": testErrors, "similarity": testSimilarity,
		"code": testCode, "a small screen": testSmallScreen, "model and server": testDetails,
	} {
		t.Run(name, func(t *testing.T) { test(t, openTab(chrome, t, url, sized(1280, 900, "light")), p) })
	}
}

func redImage(t *testing.T) []byte { return pngOf(t, halves(64, 64, channels["red"], channels["red"])) }

func testUploads(t *testing.T, b *tab, _ *process) {
	red, green := imageFile(t, "red.png", redImage(t)), imageFile(t, "green.png", oneColor(t, channels["green"]))
	b.choose("colors")
	b.upload(red)
	b.says("red.png: red 1.00")
	drag := &input.DragData{Files: []string{green}, Items: []*input.DragDataItem{}, DragOperationsMask: 1}
	for _, kind := range []input.DispatchDragEventType{input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver, input.DispatchDragEventTypeDrop} {
		b.do(call(input.DispatchDragEvent, input.DispatchDragEventParams{Type: kind, X: 400, Y: 400, Data: drag}))
	}
	b.says("green.png: green 1.00")
	b.run(`(async () => {
		const canvas = new OffscreenCanvas(9, 9), to = canvas.getContext('2d');
		to.fillStyle = 'blue';
		to.fillRect(0, 0, 9, 9);
		const data = new DataTransfer();
		data.items.add(new File([await canvas.convertToBlob()], 'pasted.png', {type: 'image/png'}));
		return document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}));
	})()`)
	b.says("pasted.png: blue 1.00")
	if n := value[int](b, "document.querySelectorAll('#sheet button').length"); n != 3 {
		t.Errorf("the contact sheet has %d images, want 3", n)
	}
	b.click("#clear")
	b.says("No image yet")
}

func testCamera(_ *testing.T, b *tab, _ *process) {
	b.choose("colors")
	b.click("#camera")
	b.until("document.querySelector('#video').videoWidth > 0")
	b.click("#shoot")
	b.until("/^photo.jpg: (red|green|blue) /.test(document.querySelector('#summary').textContent)")
	if value[bool](b, "document.querySelector('#camera-dialog').open || document.querySelector('#video').srcObject !== null") {
		b.t.Error("the camera is still on")
	}
}

// serverSays is the server's own answer.
func serverSays[T any](t *testing.T, p *process, model string, data []byte, query string) (prediction T) {
	t.Helper()
	answer := struct{ Predictions []T }{}
	got := p.post("/v1/models/"+model+"/predict"+query, "application/octet-stream", data)
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil || len(answer.Predictions) != 1 {
		t.Fatalf("%v in %s", err, got.body)
	}
	return answer.Predictions[0]
}

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

// testSliders: they act at once, and without a request.
func testSliders(t *testing.T, b *tab, p *process) {
	b.choose("spot")
	data := pngOf(t, halves(300, 200, color.White, color.White))
	b.upload(imageFile(t, "white.png", data))
	b.says("white.png: 2 objects: 1 spot, 1 wide")
	before := b.posts.Load()
	b.press("#score", kb.ArrowLeft, 25) // from 0.40 to 0.15
	b.says("white.png: 3 objects: 2 spot, 1 wide")
	if rows := value[int](b, "document.querySelectorAll('#objects li').length"); rows != 3 {
		t.Errorf("the list has %d rows, want 3", rows)
	}
	b.press("#score", kb.ArrowRight, 45) // to 0.60
	b.says("white.png: 1 object: 1 spot")
	var shown struct{ Predictions []boxes }
	if err := json.Unmarshal(b.saved("#save-json"), &shown); err != nil {
		t.Fatal(err)
	}
	want := serverSays[boxes](t, p, "spot", data, "?score_threshold=0.6")
	if fmt.Sprint(shown.Predictions[0]) != fmt.Sprint(want) {
		t.Errorf("saved %+v, the server answers %+v", shown.Predictions[0], want)
	}
	if n := b.posts.Load() - before; n != 0 {
		t.Errorf("the sliders sent %d requests", n)
	}
	b.press("#score", kb.ArrowLeft, 60) // below what was asked for
	b.until("document.querySelector('#summary').textContent.includes('3 objects')")
	b.click(`[data-class="spot"]`)
	b.says("white.png: 1 object: 1 wide")
	b.click("#show-all")
	b.says("white.png: 3 objects")

	// The list and the image point to each other.
	object := serverSays[boxes](t, p, "spot", data, "").Boxes[0]
	b.run(fmt.Sprintf(`(() => {
		const canvas = document.querySelector('#canvas'), scale = Math.min(canvas.clientWidth / 300, canvas.clientHeight / 200, 4), r = canvas.getBoundingClientRect();
		const x = r.left + (r.width - 300 * scale) / 2 + scale * %g, y = r.top + (r.height - 200 * scale) / 2 + scale * %g;
		canvas.dispatchEvent(new PointerEvent('pointermove', {clientX: x, clientY: y, bubbles: true}));
	})()`, (object.X1+object.X2)/2, (object.Y1+object.Y2)/2))
	b.until(`document.querySelector('.object.on')?.dataset.number === '0'`)
	b.do(chromedp.Focus(chromedp.CSS(`.object[data-number="1"]`)))
	b.until(`document.querySelector('.object.on').dataset.number === '1'`)
}

func testErrors(t *testing.T, b *tab, _ *process) {
	b.choose("colors")
	b.upload(imageFile(t, "red.png", redImage(t)), imageFile(t, "text.png", []byte("no image at all")))
	b.says("2 images, 1 failed")
	if text := value[string](b, "document.querySelector('#sheet .failed').textContent"); !strings.Contains(text, "text.png") || !strings.Contains(text, "unknown image format") {
		t.Errorf("the contact sheet says %q", text)
	}
	b.click("#sheet .failed")
	b.says("text.png: failed")
	if text := value[string](b, "document.querySelector('#answer').textContent"); !strings.Contains(text, "allowed: JPEG") {
		t.Errorf("the error is %q", text)
	}
}

func testSimilarity(t *testing.T, b *tab, _ *process) {
	b.choose("vector")
	b.upload(imageFile(t, "red.png", redImage(t)), imageFile(t, "red too.png", oneColor(t, channels["red"])), imageFile(t, "green.png", oneColor(t, channels["green"])))
	b.until("!document.querySelector('#similarity').hidden")
	got := value[[]string](b, "[...document.querySelectorAll('#matrix td')].map((c) => c.textContent).filter((c) => c)")
	if want := "1.000 1.000 0.000 1.000 1.000 0.000 0.000 0.000 1.000"; strings.Join(got, " ") != want {
		t.Errorf("similarity %v, want %s", got, want)
	}
	b.choose("colors")
	b.says("red.png: red 1.00. 3 images.")
	b.until("document.querySelector('#similarity').hidden && document.querySelector('#code-curl').textContent.includes('colors/predict')")
}

// testCode: the command that the page shows gives what it shows.
func testCode(t *testing.T, b *tab, _ *process) {
	b.choose("spot")
	path := imageFile(t, "it's white.png", pngOf(t, halves(300, 200, color.White, color.White)))
	b.upload(path)
	b.says("2 objects")
	b.press("#score", kb.ArrowRight, 20) // to 0.60
	b.says("1 object")
	command := exec.CommandContext(t.Context(), "sh", "-c", value[string](b, "document.querySelector('#code-curl').textContent"))
	command.Dir = filepath.Dir(path)
	out, err := command.Output()
	var got struct{ Predictions []boxes }
	if err != nil || json.Unmarshal(out, &got) != nil || len(got.Predictions) != 1 || len(got.Predictions[0].Boxes) != 1 {
		t.Errorf("%v: %s", err, out)
	}
	for language, want := range map[string]string{"python": `params={"score_threshold":0.6}`, "javascript": `predict?score_threshold=0.6"`} {
		if text := value[string](b, "document.querySelector('#code-"+language+"').textContent"); !strings.Contains(text, want) {
			t.Errorf("%s has no %s:\n%s", language, want, text)
		}
	}
}

func testSmallScreen(t *testing.T, b *tab, _ *process) {
	b.do(sized(360, 740, "dark"))
	b.choose("spot")
	b.upload(imageFile(t, "white.png", pngOf(t, halves(900, 300, color.White, color.White))), imageFile(t, "a rather long name of an image.png", redImage(t)))
	b.says("2 objects")
	b.run("document.querySelectorAll('details').forEach((d) => (d.open = true))")
	b.until("document.querySelector('#live-body dd') !== null")
	if width := value[int](b, "document.documentElement.scrollWidth"); width > 360 {
		t.Errorf("the page is %d pixels wide", width)
	}
}

func testDetails(t *testing.T, b *tab, _ *process) {
	b.choose("colors")
	b.upload(imageFile(t, "red.png", redImage(t)))
	b.says("red 1.00")
	if text := value[string](b, "document.querySelector('#card-body').textContent"); !strings.Contains(text, "8 × 8, stretch, rgb, nchw, float32, (v × 0.00392157 − 0.000) ÷ 1.00") {
		t.Errorf("the model is described as %s", text)
	}
	if text := value[string](b, "document.querySelector('#timing').textContent"); !strings.Contains(text, "infer") || !strings.Contains(text, "colors 2 on cpu") {
		t.Errorf("the times are %s", text)
	}
	b.click("#live summary")
	b.until("document.querySelector('#live-body').textContent.includes('per second')")
	b.set("#version", "1")
	b.says("green 1.00")
}

// TestPlaygroundAsksForAKey also holds the page to its policy.
func TestPlaygroundAsksForAKey(t *testing.T) {
	chrome := startChromium(t)
	path, keys := testenv.KeyFile(t, apikey.Key{Name: "all", Scopes: []string{"predict", "models"}}, apikey.Key{Name: "narrow", Scopes: []string{"predict"}})
	p := start(t, colorRepository(t, "", colorClassifier(0, 1, 2)), "--http.keys="+path)
	p.waitReady()
	page, err := http.Get("http://" + p.address + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = page.Body.Close()
	if policy := page.Header.Get("Content-Security-Policy"); page.StatusCode != 200 || !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("%d with the policy %q", page.StatusCode, policy)
	}
	b := openTab(chrome, t, "http://"+p.address+"/", sized(1280, 900, "light"))
	enter := func(key string) {
		b.do(chromedp.WaitVisible(chromedp.CSS("#key-dialog")), chromedp.SetValue(chromedp.CSS("#key"), key), chromedp.Click(chromedp.CSS("#key-use")))
	}
	enter(apikey.New())
	b.until("document.querySelector('#key-dialog').open && document.querySelector('#key-message').textContent.includes('is not valid')")
	enter(keys["narrow"])
	b.until("document.querySelector('#model').textContent === 'default model'") // it may not list them
	b.upload(imageFile(t, "red.png", redImage(t)))
	b.says("red.png: red 1.00")
	b.click("#key-button")
	enter(keys["all"])
	b.until("document.querySelector('#model').value === 'colors'")
	b.says("red.png: red 1.00")
	if code := value[string](b, "document.querySelector('#code').textContent"); !strings.Contains(code, "X-API-Key: $KEY") || strings.Contains(code, keys["all"]) {
		t.Errorf("the code is %s", code)
	}
	if got := value[string](b, "JSON.stringify([document.cookie, localStorage.length, sessionStorage.length])"); got != `["",0,1]` {
		t.Errorf("cookies, local storage and the session have %s", got)
	}
	b.do(chromedp.Reload())
	b.until("document.querySelector('#model').value === 'colors'") // with the key of the session
}

package main

import (
	"encoding/json"
	"fmt"
	"image/color"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fovea/gpu/simnvml"
	"fovea/internal/apikey"
	"fovea/internal/testenv"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestPlayground tries the page in Chromium.
func TestPlayground(t *testing.T) {
	chrome := startChromium(t)
	h100(t)
	p := start(t, playgroundRepository(t), "--inference.default=colors", "--gpu.library="+simnvml.Library(t)).waitReady()
	for _, name := range []string{"colors", "spot", "regions", "depth", "anomaly", "negative", "vector", "turned", "person", "masked", "lines", "steps"} {
		p.waitServed(name)
	}
	url := "http://" + p.address + "/"
	for name, test := range map[string]func(t *testing.T, b *tab, p *process){
		"ways to send an image": testUploads, "the camera": testCamera, "EXIF orientation": testOrientation, "images of all orientations": testOrientations,
		"tasks": testTasks, "lines of text": testLines, "pipelines": testSteps, "sliders and classes": testSliders, "errors": testErrors, "similarity": testSimilarity,
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
	b.press("#score", kb.ArrowRight, 35) // to 0.50, which the wide one has
	b.says("white.png: 2 objects: 1 spot, 1 wide")
	b.press("#score", kb.ArrowRight, 10) // to 0.60
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
	for _, want := range []string{"GPU 0: H100", "Busy 37 %", "Memory 1.00 of 79.6 GiB", "Power124 W", "Temperature45 °C"} {
		if text := value[string](b, "document.querySelector('#live-body').textContent"); !strings.Contains(text, want) {
			t.Errorf("the server's state has no %s: %s", want, text)
		}
	}
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

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fovea/internal/testenv"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// action is a step of a test that returns nothing.
type action = chromedp.Action[chromedp.Void]

// call makes an action of a command of the DevTools protocol.
func call[P, R any](command cdp.Command[P, R], params P) action {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// startChromium runs Chromium until the test ends. Its camera is one that it makes up.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), chromedp.ExecPath(chromium(t)), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Headless, chromedp.NoFirstRun, chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("use-fake-device-for-media-stream", true),
		chromedp.Flag("use-fake-ui-for-media-stream", true), chromedp.Flag("force-color-profile", "srgb"), chromedp.WSURLReadTimeout(time.Minute))
	t.Cleanup(cancel)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// tab is a page of a browser.
type tab struct {
	t        *testing.T
	ctx      context.Context
	folder   string         // of downloads
	problems testenv.Buffer // exceptions, and what the page's policy has blocked
	posts    atomic.Int64   // POST requests of the page
}

// openTab opens the playground of a server, and fails the test at its end if the page has thrown or was blocked.
func openTab(chrome context.Context, t *testing.T, url string, before action) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(chrome)
	t.Cleanup(end)
	b := &tab{t: t, ctx: ctx, folder: t.TempDir()}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	b.do(before, call(cdplog.Enable, cdp.Empty{}), call(network.Enable, network.EnableParams{}), chromedp.Navigate(url))
	t.Cleanup(func() {
		if text := b.problems.String(); text != "" {
			t.Errorf("the page had problems:\n%s", text)
		}
	})
	return b
}

func (b *tab) listen(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fmt.Fprintln(&b.problems, e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case *cdplog.EventEntryAdded:
		if e.Entry.Source != cdplog.EntrySourceNetwork && e.Entry.Level == cdplog.EntryLevelError { // those of the network are answers such as 401
			fmt.Fprintln(&b.problems, e.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		if e.Request.Method == "POST" {
			b.posts.Add(1)
		}
	}
}

// keepScreenshot writes what a failed test sees into FOVEA_TEST_SCREENSHOTS.
func (b *tab) keepScreenshot() {
	dir := os.Getenv("FOVEA_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	if data, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100)); err == nil {
		_ = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(b.t.Name(), "/", "-")+".png"), data, 0o600)
	}
}

// fail ends the test.
func (b *tab) fail(format string, args ...any) {
	b.t.Helper()
	b.keepScreenshot()
	b.t.Fatalf(format, args...)
}

// limited bounds one step.
func (b *tab) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, 20*time.Second)
}

func (b *tab) do(actions ...action) {
	b.t.Helper()
	ctx, cancel := b.limited()
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.fail("%v", err)
	}
}

// run evaluates an expression whose value does not matter.
func (b *tab) run(expression string) {
	b.t.Helper()
	value[chromedp.Void](b, expression)
}

// value is that of an expression.
func value[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := b.limited()
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.fail("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression to be true.
func (b *tab) until(expression string) {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(20*time.Second))); err != nil {
		b.fail("never: %s (%v); the summary is %q", expression, err, value[string](b, "document.querySelector('#summary').textContent"))
	}
}

// says waits until the summary has a text.
func (b *tab) says(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.querySelector('#summary').textContent.includes(%s)", quotedJS(text)))
}

func quotedJS(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // not reached: strings, bytes and numbers
	}
	return string(text)
}

// choose chooses a model, and waits until the page knows it.
func (b *tab) choose(model string) {
	b.t.Helper()
	b.until(fmt.Sprintf("[...document.querySelectorAll('#model option')].some((o) => o.value === %s)", quotedJS(model)))
	b.set("#model", model)
	b.until(fmt.Sprintf("document.querySelector('#card-body').textContent.startsWith('Name' + %s)", quotedJS(model)))
}

// set chooses an option of a list.
func (b *tab) set(list, option string) {
	b.t.Helper()
	b.run(fmt.Sprintf("{const list = document.querySelector(%s); list.value = %s; list.dispatchEvent(new Event('change'))}", quotedJS(list), quotedJS(option)))
}

// click clicks on an element, as a person does.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// press focuses an element and presses a key some times.
func (b *tab) press(selector, key string, times int) {
	b.t.Helper()
	b.do(chromedp.Focus(chromedp.CSS(selector)))
	for range times {
		b.do(chromedp.KeyEvent(key))
	}
}

// upload chooses files as a person does in the dialog of the browser.
func (b *tab) upload(paths ...string) {
	b.t.Helper()
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#file"), paths))
}

// saved clicks a button and returns the file that the page saves.
func (b *tab) saved(button string) []byte {
	b.t.Helper()
	ctx, cancel := b.limited()
	defer cancel()
	_, err := chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllowAndName, DownloadPath: b.folder, EventsEnabled: new(true)})
	if err != nil {
		b.fail("%v", err)
	}
	for try := 1; ; try++ {
		data, err := b.savedOnce(ctx, button)
		if err == nil {
			return data
		}
		if try == saveTries {
			b.fail("%s saves nothing: %v", button, err)
		}
		b.t.Logf("%s saved nothing: %v", button, err)
	}
}

// A click that saves nothing is repeated after a while: Chromium ignores all but ten downloads of a page in a second
// (kBurstDownloadLimit of third_party/blink/renderer/core/frame/local_frame.cc).
const (
	saveTries = 3
	saveTime  = 4 * time.Second
)

// savedOnce clicks a button once and returns the file that the page saves.
func (b *tab) savedOnce(ctx context.Context, button string) ([]byte, error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, saveTime)
	defer cancel()
	events := chromedp.BrowserEvents(ctx, browser.DownloadProgress)
	b.click(button)
	for e, err := range events {
		if err != nil {
			return nil, err
		}
		if e.State == browser.DownloadProgressStateCompleted {
			return os.ReadFile(filepath.Join(b.folder, e.GUID))
		}
	}
	return nil, context.Cause(ctx)
}

// savedImage is the annotated image that the page saves.
func (b *tab) savedImage() image.Image {
	b.t.Helper()
	b.until("!document.querySelector('#save-image').disabled")
	img, err := png.Decode(bytes.NewReader(b.saved("#save-image")))
	if err != nil {
		b.t.Fatal(err)
	}
	return img
}

// sized sets the size of the page and its colors.
func sized(width, height int64, scheme string) action {
	return chromedp.Steps(
		call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 500}),
		call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}),
	)
}

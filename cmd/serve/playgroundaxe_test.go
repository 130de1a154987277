package main

import (
	"image/color"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// TestPlaygroundIsAccessible checks the page with axe-core: nothing serious, in any state, light and dark, large and small.
func TestPlaygroundIsAccessible(t *testing.T) {
	path := os.Getenv("FOVEA_TEST_AXE")
	if path == "" {
		t.Skip("FOVEA_TEST_AXE does not name the file of axe-core; make test-playground fetches it")
	}
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	chrome := startChromium(t)
	p := start(t, playgroundRepository(t), "--inference.default=colors").waitReady()
	tasks := []string{"colors", "spot", "regions", "depth", "anomaly", "negative", "vector", "person", "masked"}
	for _, name := range tasks {
		p.waitServed(name)
	}
	left := imageFile(t, "halves.png", pngOf(t, halves(300, 200, color.White, channels["red"])))
	broken := imageFile(t, "broken.png", []byte("no image"))
	for name, size := range map[string]chromedp.Action[chromedp.Void]{
		"large and light": sized(1280, 900, "light"), "large and dark": sized(1280, 900, "dark"), "small and dark": sized(360, 740, "dark"),
	} {
		t.Run(name, func(t *testing.T) {
			b := openTab(chrome, t, "about:blank", size)
			b.do(call(page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}), chromedp.Navigate("http://"+p.address+"/")) // for axe-core, which is no part of the page
			b.run(string(axe) + "; undefined")
			b.choose("colors")
			b.violates("without an image")
			b.upload(left, left, broken)
			b.says("1 failed")
			b.run("document.querySelectorAll('details').forEach((d) => (d.open = true))")
			b.until("document.querySelector('#live-body dd') !== null")
			b.violates("with images")
			for _, task := range tasks {
				b.choose(task)
				b.says("halves.png: ")
				b.until("!document.querySelector('#summary').textContent.includes('waiting')")
				b.violates(task)
			}
			b.click("#key-button")
			b.violates("the dialog of the key")
		})
	}
}

// violates reports what axe-core finds in the page.
func (b *tab) violates(state string) {
	b.t.Helper()
	found := value[[]string](b, `axe.run(document, {resultTypes: ['violations']}).then(({violations}) => violations.flatMap((v) =>
		v.nodes.map((n) => v.impact + ' ' + v.id + ': ' + n.html.slice(0, 160) + ' ' + n.failureSummary.replaceAll('\n', ' '))))`)
	for _, text := range found {
		if impact, _, _ := strings.Cut(text, " "); impact == "serious" || impact == "critical" {
			b.t.Errorf("%s: %s", state, text)
		} else {
			b.t.Logf("%s: %s", state, text)
		}
	}
}

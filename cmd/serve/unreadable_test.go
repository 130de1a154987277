package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAModelThatCannotBeLookedAtIsServedAndTold(t *testing.T) {
	dir := newRepository(t)
	addTiny(t, dir, "colors", "colors")
	p := start(t, dir, "--repository.poll=50ms").waitReady()
	place, away := filepath.Join(dir, model), filepath.Join(t.TempDir(), "away")
	// A link that leads nowhere stands for a disk that does not answer: modes do not stop root.
	if err := errors.Join(os.Rename(place, away), os.Symlink(away+".nowhere", place)); err != nil {
		t.Fatal(err)
	}
	const metric = `fovea_model_unreadable{model="` + model + `"} `
	p.wait("/ready warns", func() bool {
		got := p.get("/ready")
		return got.status == 200 && strings.Contains(got.body, `"warnings":["`+model+` is served as last loaded: cannot be read: `)
	})
	time.Sleep(300 * time.Millisecond) // several looks
	p.good()
	if got := p.get("/metrics").body; !strings.Contains(got, metric+"1\n") || !strings.Contains(got, `fovea_model_unreadable{model="colors"} 0`+"\n") {
		t.Error("the metric does not tell")
	}
	if n := strings.Count(p.logged(), "cannot be read; what is served of it goes on"); n != 1 {
		t.Errorf("it is told %d times", n)
	}
	if err := errors.Join(os.Remove(place), os.Rename(away, place)); err != nil {
		t.Fatal(err)
	}
	p.wait("it is told to be readable again", func() bool { return strings.Contains(p.logged(), "can be read again") })
	if got := p.get("/ready"); !strings.Contains(got.body, `"warnings":[]`) || !strings.Contains(p.get("/metrics").body, metric+"0\n") {
		t.Errorf("/ready: %s", got.body)
	}
	p.good()
	if err := os.RemoveAll(place); err != nil {
		t.Fatal(err)
	}
	p.wait("what is known to be gone is unloaded", func() bool { return p.get("/v1/models/"+model).status == 404 })
}

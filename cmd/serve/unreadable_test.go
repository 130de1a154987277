package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fovea/inference"
	"fovea/internal/repository"

	"golang.org/x/sys/unix"
)

func TestUnreadableModelStaysServedAndIsReportedOnce(t *testing.T) {
	dir := newRepository(t)
	addTiny(t, dir, "colors", "colors")
	p := start(t, dir, "--repository.poll=50ms").waitReady()
	place, aside := filepath.Join(dir, model), filepath.Join(t.TempDir(), "aside")
	// A link that leads nowhere stands for a disk that does not respond: modes do not stop root.
	if err := os.Symlink(aside+".nowhere", aside); err != nil {
		t.Fatal(err)
	}
	exchange(t, place, aside)
	const metric = `fovea_model_unreadable{model="` + model + `"} `
	p.wait("/ready warns", func() bool {
		got := p.get("/ready")
		return got.status == 200 && strings.Contains(got.body, `"warnings":["`+model+` is served as last loaded: cannot be read: `)
	})
	time.Sleep(300 * time.Millisecond) // several syncs
	p.good()
	if got := p.get("/metrics").body; !strings.Contains(got, metric+"1\n") || !strings.Contains(got, `fovea_model_unreadable{model="colors"} 0`+"\n") {
		t.Error("the metric does not show it")
	}
	if n := strings.Count(p.logged(), "unreadable in part"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	exchange(t, place, aside)
	p.wait("recovery is logged", func() bool { return strings.Contains(p.logged(), "readable again") })
	if got := p.get("/ready"); !strings.Contains(got.body, `"warnings":[]`) || !strings.Contains(p.get("/metrics").body, metric+"0\n") {
		t.Errorf("/ready: %s", got.body)
	}
	p.good()
	if err := os.RemoveAll(place); err != nil {
		t.Fatal(err)
	}
	p.wait("a removed model is unloaded", func() bool { return p.get("/v1/models/"+model).status == 404 })
}

// exchange swaps two paths at once, so that no sync finds neither.
func exchange(t *testing.T, a, b string) {
	t.Helper()
	if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
		t.Fatal(err)
	}
}

func TestUnreadableModelIsReportedOnceWhateverTheReason(t *testing.T) {
	var logged strings.Builder
	s := &service{log: slog.New(slog.NewTextHandler(&logged, nil))}
	unreadable := func(model, reason string) *inference.LoadError {
		return &inference.LoadError{Model: model, Err: fmt.Errorf("%w: %s", repository.ErrUnreadable, reason)}
	}
	s.report([]*inference.LoadError{unreadable("a", "labels.txt: stale file handle")})
	s.report([]*inference.LoadError{unreadable("a", "input/output error"), unreadable("b", "input/output error")})
	if n := strings.Count(logged.String(), "unreadable in part"); n != 2 {
		t.Errorf("%d warnings for two models:\n%s", n, logged.String())
	}
	if strings.Contains(logged.String(), "readable again") {
		t.Errorf("another reason is logged as a recovery:\n%s", logged.String())
	}
	s.report([]*inference.LoadError{unreadable("b", "input/output error")})
	if n := strings.Count(logged.String(), "readable again"); n != 1 || !strings.Contains(logged.String(), "model a: ") {
		t.Errorf("%d recoveries logged instead of that of a:\n%s", n, logged.String())
	}
}

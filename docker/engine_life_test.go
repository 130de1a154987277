//go:build engine

package docker

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEngineLife(t *testing.T) {
	c, ctx := engine(t), context.Background()
	s := testSpec(t, c, testImage(t))
	events, failed := c.Events(t.Context(), map[string]string{LabelOwner: owner, "fovea.test": ""})

	id := create(t, c, s)
	if status := inspect(t, c, id); status.State != Created || status.Pid != 0 || status.HostPort != 0 {
		t.Errorf("created: %+v", status)
	}
	if err := c.Start(ctx, id); err != nil {
		t.Fatal(err)
	}
	status := inspect(t, c, s.Name) // by name, too
	if status.ID != id || status.State != Running || status.Pid == 0 || status.HostPort == 0 {
		t.Errorf("running: %+v", status)
	}
	if _, err := c.Create(ctx, s); !errors.Is(err, ErrConflict) {
		t.Errorf("a name twice: %v", err)
	}
	eventually(t, "it has started", func() bool { lines, _ := c.Logs(ctx, id, 5); return len(lines) == 1 })
	if err := c.Stop(ctx, id, 10*time.Second); err != nil {
		t.Error(err)
	}
	if status := inspect(t, c, id); status.State != Exited || status.ExitCode != 0 || status.Pid != 0 {
		t.Errorf("stopped: %+v", status)
	}
	if lines, err := c.Logs(ctx, id, 5); err != nil || !slices.Equal(lines, []string{"listening", "stopping"}) {
		t.Errorf("logs %q, %v", lines, err)
	}
	if err := errors.Join(c.Stop(ctx, id, time.Second), c.Kill(ctx, id), c.Remove(ctx, id), c.Remove(ctx, id)); err != nil {
		t.Errorf("repeated: %v", err)
	}
	if _, err := c.Inspect(ctx, id); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
	if err := c.Start(ctx, id); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoNetwork) {
		t.Errorf("starting a missing one: %v", err)
	}
	for _, want := range []string{"create", "start", "die", "destroy"} {
		e := next(t, events)
		if e.ID != id || e.Action != want || e.Labels[LabelReplica] != "0" || time.Since(e.Time).Abs() > time.Hour {
			t.Errorf("event %+v, want %s", e, want)
		}
	}
	select {
	case err := <-failed:
		t.Errorf("the events ended: %v", err)
	default:
	}
}

func TestEngineAdoptionByLabels(t *testing.T) {
	c, ctx := engine(t), context.Background()
	s := testSpec(t, c, testImage(t))
	s.Labels[LabelGeneration] = "7"
	p := start(t, c, s)

	again := engine(t) // as after a restart of the supervisor
	found, err := again.List(ctx, map[string]string{LabelOwner: owner, LabelReplica: "0", LabelHash: s.Hash()})
	if err != nil || len(found) != 1 {
		t.Fatalf("found %+v, %v", found, err)
	}
	got := found[0]
	if got.ID != p.id || got.Name != s.Name || got.State != Running || got.HostPort != p.status.HostPort ||
		got.Labels[LabelGeneration] != "7" || got.Labels[LabelImage] != s.Image {
		t.Errorf("got %+v", got)
	}
	for _, labels := range []map[string]string{{LabelOwner: owner + "x"}, {LabelOwner: owner, LabelReplica: "1"}, {LabelOwner: owner, LabelHash: "x"}} {
		if found, err := again.List(ctx, labels); err != nil || len(found) != 0 {
			t.Errorf("%v: found %+v, %v", labels, found, err)
		}
	}
}

func TestEngineOOMKill(t *testing.T) {
	c := engine(t)
	p := start(t, c, testSpec(t, c, testImage(t)))
	if answer, err := browser.Post(p.url+"/memory", "", nil); err == nil {
		_ = answer.Body.Close()
		t.Error("it answered")
	}
	eventually(t, "it has ended", func() bool { return inspect(t, c, p.id).State == Exited })
	if status := inspect(t, c, p.id); !status.OOMKilled || status.ExitCode != 137 {
		t.Errorf("got %+v", status)
	}
}

func TestEngineStopKillsAfterTheGracePeriod(t *testing.T) {
	c, ctx := engine(t), context.Background()
	s := testSpec(t, c, testImage(t))
	s.Args = []string{"deaf"}
	p := start(t, c, s)
	if err := c.Stop(ctx, p.id, time.Second); err != nil {
		t.Error(err)
	}
	if status := inspect(t, c, p.id); status.State != Exited || status.ExitCode != 137 || status.OOMKilled {
		t.Errorf("got %+v", status)
	}
}

func TestEngineLogs(t *testing.T) {
	c, ctx := engine(t), context.Background()
	s := testSpec(t, c, testImage(t))
	s.Args = []string{"lines", "50"}
	id := create(t, c, s)
	if err := c.Start(ctx, id); err != nil {
		t.Fatal(err)
	}
	var followed bytes.Buffer
	if err := c.FollowLogs(ctx, id, 1000, &followed); err != nil { // until it exits
		t.Error(err)
	}
	if status := inspect(t, c, id); status.ExitCode != 3 {
		t.Errorf("got %+v", status)
	}
	all, err := c.Logs(ctx, id, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 { // of both streams; the order between them depends on the engine
		if line := "line " + itoa(i); !slices.Contains(all, line) {
			t.Errorf("no %q in %q", line, all)
		}
	}
	if lines, err := c.Logs(ctx, id, 4); err != nil || !slices.Equal(lines, all[len(all)-4:]) {
		t.Errorf("the last four: %q, %v", lines, err)
	}
	if got := strings.Count(followed.String(), "line "); got != 50 {
		t.Errorf("followed %d lines", got)
	}
	s.Name, s.LogDriver = s.Name+"-local", "local"
	id = create(t, c, s)
	if err := c.Start(ctx, id); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has ended", func() bool { return inspect(t, c, id).State == Exited })
	if lines, err := c.Logs(ctx, id, 1000); err != nil || len(lines) != 50 {
		t.Errorf("driver local: %q, %v", lines, err)
	}
}

func TestEngineMissingThings(t *testing.T) {
	c, ctx := engine(t), context.Background()
	s := testSpec(t, c, "fovea-docker-test:absent")
	if _, err := c.Create(ctx, s); !errors.Is(err, ErrNoImage) {
		t.Errorf("image: %v", err)
	}
	if _, err := c.ImageInfo(ctx, s.Image); !errors.Is(err, ErrNoImage) {
		t.Errorf("image: %v", err)
	}
	s.Image = testImage(t)
	// the image may also disappear after it was checked
	if _, err := c.create(ctx, s.Name, s.config("sha256:"+strings.Repeat("0", 64), nil), s.hostConfig(nil), s.Network); !errors.Is(err, ErrNoImage) {
		t.Errorf("image, later: %v", err)
	}
	s.ModelsDir = "/srv/absent"
	if _, err := c.Create(ctx, s); !errors.Is(err, ErrRefused) {
		t.Errorf("models folder: %v", err)
	}
	s.ModelsDir, s.Network = "", s.Network+"-absent"
	id, err := c.Create(ctx, s)
	if err == nil {
		t.Cleanup(func() { _ = c.Remove(context.Background(), id) })
		err = c.Start(ctx, id)
	}
	if !errors.Is(err, ErrNoNetwork) {
		t.Errorf("network: %v", err)
	}
}

func TestEngineNetworkIsTheOwners(t *testing.T) {
	c, ctx := engine(t), context.Background()
	s := testSpec(t, c, "x")
	if err := c.EnsureNetwork(ctx, s.Network, owner); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if err := c.EnsureNetwork(ctx, s.Network, "someone"); !errors.Is(err, ErrConflict) {
		t.Errorf("someone else's: %v", err)
	}
	if err := c.RemoveNetwork(ctx, s.Network, "someone"); !errors.Is(err, ErrConflict) {
		t.Errorf("removing someone else's: %v", err)
	}
	if err := c.RemoveNetwork(ctx, s.Network+"-absent", owner); err != nil {
		t.Errorf("removing a missing one: %v", err)
	}
	if err := c.EnsureNetwork(ctx, "host", owner); !errors.Is(err, ErrUnsafe) {
		t.Errorf("the host's: %v", err)
	}
}

func TestEngineFoveaItself(t *testing.T) {
	c, ctx := engine(t), context.Background()
	image := os.Getenv("FOVEA_TEST_IMAGE")
	if image == "" {
		t.Skip("FOVEA_TEST_IMAGE names no image of Fovea")
	}
	s := testSpec(t, c, image)
	s.Memory, s.TmpfsSize = 1<<30, 64<<20
	id := create(t, c, s)
	if err := c.Start(ctx, id); err != nil {
		t.Fatal(err)
	}
	status := inspect(t, c, id)
	if len(status.Violations) > 0 {
		t.Errorf("found %q", status.Violations)
	}
	p := testContainer{id: id, url: "http://127.0.0.1:" + itoa(status.HostPort)}
	eventually(t, "Fovea is ready", func() bool {
		answer, err := browser.Get(p.url + "/ready")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	if err := c.Stop(ctx, id, 10*time.Second); err != nil {
		t.Error(err)
	}
	if status := inspect(t, c, id); status.ExitCode != 0 {
		t.Errorf("it drained and exited with %d", status.ExitCode)
	}
}

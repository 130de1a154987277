//go:build engine

package fleet

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"fovea/docker/dockertest"
	"fovea/internal/exitcode"
	"fovea/internal/testenv"
)

func TestReplicaKilledUnderLoadIsReplaced(t *testing.T) {
	t.Parallel()
	b := newBench(t, two)
	b.start(2)
	l := b.load()
	before := b.containers()
	begun := l.begun.Load()
	may := int64(b.status().Replicas[0].InFlight)
	start := time.Now()
	b.kill("cpu-0")
	b.until("it gets no requests", func(s Status) bool { return s.Replicas[0].State != Ready })
	may += l.begun.Load() - begun // was given to it before its end was known, at most
	b.until("another container is ready", func(s Status) bool { return s.Ready == 2 && s.Replicas[0].Restarts == 1 })
	full := time.Since(start)
	o := l.end()
	underWay, _, _ := b.by("cpu-0.1", start)
	loading := b.starting("cpu-0")
	o.figure(t, "replica killed with SIGKILL", full, fmt.Sprintf("%d under way with it; its model took %.2f s of the time", underWay, loading.Seconds()))
	if lost := b.losses("cpu-0.1"); lost != o.failed || int64(lost) > may {
		t.Errorf("%d requests failed, %d with the replica; %d may have been given to it", o.failed, lost, may)
	}
	if figures() && full > loading+3*time.Second {
		t.Errorf("it was back after %s, of which its model took %s", full, loading)
	}
	if after := b.containers(); after["cpu-0"] == before["cpu-0"] || after["cpu-1"] != before["cpu-1"] {
		t.Errorf("containers %v became %v", before, after)
	}
}

// bigImage needs more memory to decode than a small replica has, and few bytes.
func bigImage(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, image.NewGray(image.Rect(0, 0, 7000, 7000))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestImageThatTakesAllMemoryKillsAReplicaAndIsThenRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, two+"limits: {memory: 160MiB, cpus: 1}\nrestart: {min_backoff: 3s}\n")
	b.start(2)
	l := b.load()
	img := bigImage(t)
	begun, start := l.begun.Load(), time.Now()
	// It is tried again by the gateway once two are ready, or by its client.
	tries, err := 0, error(nil)
	for ; tries < 3 && (err == nil || !strings.Contains(err.Error(), "poison_request")); tries++ {
		err = post(l.client, "http://"+b.address+"/predict", img)
		if err == nil || !strings.Contains(err.Error(), "replica_lost") && !strings.Contains(err.Error(), "poison_request") {
			t.Fatalf("image %d: %v", tries, err)
		}
		b.until("all are ready again", func(s Status) bool { return s.Ready == 2 })
	}
	may, full := l.begun.Load()-begun, time.Since(start)
	if err == nil || !strings.Contains(err.Error(), "poison_request") {
		t.Errorf("the image that killed two: %v", err)
	}
	if log, err := os.ReadFile(b.log()); err != nil || !strings.Contains(string(log), "out of memory: limits.memory is too low") {
		t.Errorf("the reason is not in the log: %v", err)
	}
	o := l.end()
	o.figure(t, "out of memory, twice", full, "the image is refused from then on")
	restarts := 0
	for _, r := range b.status().Replicas {
		restarts += r.Restarts
	}
	if restarts != 2 || int64(o.failed) > may {
		t.Errorf("%d restarts; %d requests failed", restarts, o.failed)
	}
}

func TestReplicaThatLiesIsFoundOut(t *testing.T) {
	t.Parallel()
	b := newBenchOn(t, "", impostor(t), two+"health: {canary: 1s, interval: 200ms, timeout: 30s}\n")
	b.start(2)
	l := b.load()
	liar := b.status().Replicas[0]
	start := time.Now()
	ask(t, http.MethodPost, liar.URL+"/be?what=lying")
	s := b.until("it gets no requests", func(s Status) bool { return s.Replicas[0].State != Ready })
	withdrawn := time.Since(start)
	if want := "says that it is ready, and failed 3 predictions: 500"; !strings.Contains(s.Replicas[0].Reason, want) {
		t.Errorf("the reason %q does not say %q", s.Replicas[0].Reason, want)
	}
	b.until("another container is ready", func(s Status) bool { return s.Ready == 2 && s.Replicas[0].Restarts == 1 })
	full := time.Since(start)
	o := l.end()
	o.figure(t, "replica lies: ready, and fails predictions", full, fmt.Sprintf("out of service after %.2f s, with health.canary at 1 s", withdrawn.Seconds()))
	for _, a := range b.accesses() {
		if a.Status != http.StatusOK && (a.Replica != liar.Name || a.Status != http.StatusInternalServerError) {
			t.Errorf("a request that the liar did not fail: %+v", a)
		}
	}
}

func ask(t *testing.T, method, url string) string {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, response.Status, err)
	}
	return strings.TrimSpace(string(body))
}

func TestReplicaThatNeverBecomesReady(t *testing.T) {
	t.Parallel()
	b := newBenchOn(t, "", impostor(t), two+"health: {start: 3s, timeout: 30s}\n")
	b.start(2)
	before := b.containers()
	l := b.load()
	start := time.Now()
	b.configure(two + "health: {start: 3s, timeout: 30s}\nargs: [unready]\n")
	if _, err := b.client.Rollout(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := b.until("the roll-out failed", func(s Status) bool { return s.Rollout != nil && s.Rollout.Failed != "" })
	full := time.Since(start)
	l.end().none(t).figure(t, "new version never becomes ready", 0, fmt.Sprintf("given up after %.2f s, with health.start at 3 s", full.Seconds()))
	if want := "not ready within health.start, 3s: it never is"; !strings.Contains(s.Rollout.Failed, want) || s.Ready != 2 {
		t.Errorf("%q is not in %+v", want, s)
	}
	if log := strings.Join(s.Rollout.Log, "\n"); !strings.Contains(log, "an impostor is unready") {
		t.Errorf("its last lines are %q", log)
	}
	if after := b.containers(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("containers %v became %v", before, after)
	}
}

func TestReplicaThatIsNeverReadyFailsForGoodAfterItsTries(t *testing.T) {
	t.Parallel()
	b := newBenchOn(t, "", impostor(t), "args: [unready]\nhealth: {start: 1s, timeout: 30s}\nrestart: {min_backoff: 100ms, failures: 2}\n")
	b.start(0)
	s := b.until("it failed for good", func(s Status) bool { return s.Replicas[0].State == Failed })
	if r := s.Replicas[0]; r.Restarts != 3 || !strings.Contains(r.Reason, "health.start") || strings.Join(r.Log, "") != "an impostor is unready" {
		t.Errorf("%+v", r)
	}
	if _, err := b.client.Resume(context.Background(), "cpu-0"); err != nil {
		t.Fatal(err)
	}
	b.until("it tries again", func(s Status) bool { return s.Replicas[0].State == Starting })
}

func TestModelThatIsBadFailsAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	models := filepath.Join(b.dir, "models", "efficientnet-lite0")
	definition, err := os.ReadFile(filepath.Join(testenv.Root(t), "models", "efficientnet-lite0", "model.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"model.yaml": definition, "1/model.onnx": []byte("no model"), "labels.txt": []byte("a\n")} {
		file := filepath.Join(models, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b.configure("models: models\nargs: [\"--inference.models=efficientnet-lite0:required\"]\n")
	b.start(0)
	s := b.until("it failed for good", func(s Status) bool { return s.Replicas[0].State == Failed })
	r := s.Replicas[0]
	if !strings.Contains(r.Reason, "ended with status "+strconv.Itoa(exitcode.Configuration)) || r.Restarts != 1 || r.RetryIn != 0 {
		t.Errorf("it did not fail at once: %+v", r)
	}
	if log := strings.Join(r.Log, "\n"); !strings.Contains(log, "efficientnet-lite0") {
		t.Errorf("the last lines do not name the model: %q", log)
	}
}

func TestImageThatIsMissing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	gone := impostorImage() + "-gone"
	if err := dockertest.ProgramImage(ctx, "", gone, "fovea/fleet/internal/impostor"); err != nil {
		t.Fatal(err)
	}
	b := newBenchOn(t, "", gone, "restart: {min_backoff: 10s}\n")
	b.start(1)
	b.kill("cpu-0")
	b.until("it waits for its next try", func(s Status) bool { return s.Replicas[0].State == BackOff })
	if err := dockertest.RemoveImage(ctx, "", gone); err != nil {
		t.Fatal(err)
	}
	s := b.until("it failed for good", func(s Status) bool { return s.Replicas[0].State == Failed })
	if r := s.Replicas[0]; !strings.Contains(r.Reason, "no such image") || !strings.Contains(r.Reason, gone) || r.RetryIn != 0 {
		t.Errorf("a replica that is to be made anew: %+v", r)
	}
	if _, err := b.client.Rollout(ctx); err == nil || !strings.Contains(err.Error(), gone) {
		t.Errorf("a roll-out: %v", err)
	}
	b.stop(9)
	if err := os.RemoveAll(filepath.Join(b.dir, "state")); err != nil {
		t.Fatal(err)
	}
	b.run(b.command())
	if err := b.over(); err == nil {
		t.Error("a supervisor starts without an image")
	}
	if log, err := os.ReadFile(b.log()); err != nil || !strings.Contains(string(log), "supervise: image: no such image on this machine: image "+gone+": ") {
		t.Errorf("the supervisor does not say why it ended: %v: %s", err, log)
	}
}

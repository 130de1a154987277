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
	b := newHarness(t, two)
	b.start(2)
	l := b.load()
	before := b.containers()
	begun := l.begun.Load()
	may := int64(b.status().Replicas[0].InFlight)
	start := time.Now()
	b.kill("cpu-0")
	b.until("not serving", func(s Status) bool { return s.Replicas[0].State != Ready })
	may += l.begun.Load() - begun // upper bound of the requests sent to it before its end was known
	b.until("another container is ready", func(s Status) bool { return s.Ready == 2 && s.Replicas[0].Restarts == 1 })
	full := time.Since(start)
	o := l.end()
	underWay, _, _ := b.by("cpu-0.1", start)
	loading := b.starting("cpu-0")
	o.figure(t, "replica killed with SIGKILL", full, fmt.Sprintf("%d in flight with it; %.2f s of the time to load its model", underWay, loading.Seconds()))
	if lost := b.losses("cpu-0.1"); lost != o.failed || int64(lost) > may {
		t.Errorf("%d requests failed, %d with the replica; %d may have been given to it", o.failed, lost, may)
	}
	if figures() && full > loading+3*time.Second {
		t.Errorf("replaced after %s, %s of it to load its model", full, loading)
	}
	if after := b.containers(); after["cpu-0"] == before["cpu-0"] || after["cpu-1"] != before["cpu-1"] {
		t.Errorf("containers %v became %v", before, after)
	}
}

// bigImage needs more memory to decode than a small replica has, in a small file.
func bigImage(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, image.NewGray(image.Rect(0, 0, 7000, 7000))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestImageThatExhaustsMemoryIsRefused(t *testing.T) {
	t.Parallel()
	b := newHarness(t, two+"limits: {memory: 160MiB, cpus: 1}\nrestart: {min_backoff: 3s}\n")
	b.start(2)
	l := b.load()
	img := bigImage(t)
	begun, start := l.begun.Load(), time.Now()
	// The gateway retries once two replicas are ready, otherwise the client does.
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
		t.Errorf("the image that took down two replicas: %v", err)
	}
	if log, err := os.ReadFile(b.log()); err != nil || !strings.Contains(string(log), "out of memory: limits.memory is too low") {
		t.Errorf("the reason is not in the log: %v", err)
	}
	o := l.end()
	o.figure(t, "out of memory, twice", full, "the image is refused afterwards")
	restarts := 0
	for _, r := range b.status().Replicas {
		restarts += r.Restarts
	}
	if restarts != 2 || int64(o.failed) > may {
		t.Errorf("%d restarts; %d requests failed", restarts, o.failed)
	}
}

func TestReplicaThatFailsPredictionsIsReplaced(t *testing.T) {
	t.Parallel()
	b := newHarnessOn(t, "", fakeServer(t), two+"health: {canary: 1s, interval: 200ms, timeout: 30s}\n")
	b.start(2)
	l := b.load()
	failing := b.status().Replicas[0]
	start := time.Now()
	ask(t, http.MethodPost, failing.URL+"/mode?to=failing")
	s := b.until("not serving", func(s Status) bool { return s.Replicas[0].State != Ready })
	withdrawn := time.Since(start)
	if want := "ready, but failed 3 canaries: 500"; !strings.Contains(s.Replicas[0].Reason, want) {
		t.Errorf("the reason %q does not say %q", s.Replicas[0].Reason, want)
	}
	b.until("another container is ready", func(s Status) bool { return s.Ready == 2 && s.Replicas[0].Restarts == 1 })
	full := time.Since(start)
	o := l.end()
	o.figure(t, "replica is ready, and predictions fail with 500", full, fmt.Sprintf("out of service after %.2f s, with health.canary at 1 s", withdrawn.Seconds()))
	for _, a := range b.accesses() {
		if a.Status != http.StatusOK && (a.Replica != failing.Name || a.Status != http.StatusInternalServerError) {
			t.Errorf("a request failed on another replica: %+v", a)
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

func TestReplicaNeverReady(t *testing.T) {
	t.Parallel()
	b := newHarnessOn(t, "", fakeServer(t), two+"health: {start_timeout: 3s, timeout: 30s}\n")
	b.start(2)
	before := b.containers()
	l := b.load()
	start := time.Now()
	b.configure(two + "health: {start_timeout: 3s, timeout: 30s}\nargs: [unready]\n")
	if _, err := b.client.Rollout(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := b.until("the rollout has failed", func(s Status) bool { return s.Rollout != nil && s.Rollout.Failed != "" })
	full := time.Since(start)
	l.end().none(t).figure(t, "new version never becomes ready", 0, fmt.Sprintf("given up after %.2f s, with health.start_timeout at 3 s", full.Seconds()))
	if want := "not ready within health.start_timeout (3s): never ready"; !strings.Contains(s.Rollout.Failed, want) || s.Ready != 2 {
		t.Errorf("%q is not in %+v", want, s)
	}
	if log := strings.Join(s.Rollout.Log, "\n"); !strings.Contains(log, "fake server is unready") {
		t.Errorf("its last lines are %q", log)
	}
	if after := b.containers(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("containers %v became %v", before, after)
	}
}

func TestReplicaNeverReadyFailsAfterItsRetries(t *testing.T) {
	t.Parallel()
	b := newHarnessOn(t, "", fakeServer(t), "args: [unready]\nhealth: {start_timeout: 1s, timeout: 30s}\nrestart: {min_backoff: 100ms, failures: 2}\n")
	b.start(0)
	s := b.until("failed", func(s Status) bool { return s.Replicas[0].State == Failed })
	if r := s.Replicas[0]; r.Restarts != 3 || !strings.Contains(r.Reason, "health.start_timeout") || strings.Join(r.Log, "") != "fake server is unready" {
		t.Errorf("%+v", r)
	}
	if _, err := b.client.Resume(context.Background(), "cpu-0"); err != nil {
		t.Fatal(err)
	}
	b.until("starting again", func(s Status) bool { return s.Replicas[0].State != Failed || s.Replicas[0].Restarts > 3 })
}

func TestBadModelIsFatal(t *testing.T) {
	t.Parallel()
	b := newHarness(t, "")
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
	s := b.until("failed", func(s Status) bool { return s.Replicas[0].State == Failed })
	r := s.Replicas[0]
	if !strings.Contains(r.Reason, "exited with status "+strconv.Itoa(exitcode.Configuration)) || r.Restarts != 1 || r.RetryIn != 0 {
		t.Errorf("it did not fail immediately: %+v", r)
	}
	if log := strings.Join(r.Log, "\n"); !strings.Contains(log, "efficientnet-lite0") {
		t.Errorf("the last lines do not name the model: %q", log)
	}
}

func TestMissingImage(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	gone := fakeServerImage() + "-gone"
	if err := dockertest.ProgramImage(ctx, "", gone, "fovea/fleet/internal/fakeserver"); err != nil {
		t.Fatal(err)
	}
	b := newHarnessOn(t, "", gone, "restart: {min_backoff: 10s}\n")
	b.start(1)
	b.kill("cpu-0")
	b.until("in backoff", func(s Status) bool { return s.Replicas[0].State == Backoff })
	if err := dockertest.RemoveImage(ctx, "", gone); err != nil {
		t.Fatal(err)
	}
	s := b.until("failed", func(s Status) bool { return s.Replicas[0].State == Failed })
	if r := s.Replicas[0]; !strings.Contains(r.Reason, "no such image") || !strings.Contains(r.Reason, gone) || r.RetryIn != 0 {
		t.Errorf("replica after its image was removed: %+v", r)
	}
	if _, err := b.client.Rollout(ctx); err == nil || !strings.Contains(err.Error(), gone) {
		t.Errorf("rollout: %v", err)
	}
	b.stop(9)
	if err := os.RemoveAll(filepath.Join(b.dir, "state")); err != nil {
		t.Fatal(err)
	}
	b.run(b.command())
	if err := b.exited(); err == nil {
		t.Error("a supervisor starts without an image")
	}
	if log, err := os.ReadFile(b.log()); err != nil || !strings.Contains(string(log), "supervise: image: no such image on this machine: image "+gone+": ") {
		t.Errorf("the supervisor does not log why it exited: %v: %s", err, log)
	}
}

//go:build image

package imagetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var client = &http.Client{Timeout: 150 * time.Second}

// ready waits until the server accepts requests.
func (c *container) ready(t *testing.T) {
	t.Helper()
	wait(t, 90*time.Second, "the server is ready", func() bool {
		answer, err := client.Get(c.url + "/ready")
		if err == nil {
			err = answer.Body.Close()
		}
		return err == nil && answer.StatusCode == http.StatusOK || c.state(t).State.Status == "exited"
	})
	if s := c.state(t); s.State.Status != "running" {
		t.Fatalf("the server exited with %d", s.State.ExitCode)
	}
}

func img(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(), "testdata/images/coffee.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// predict sends an image and returns the status and the top label.
func predict(url string, data []byte) (status int, label string, err error) {
	answer, err := client.Post(url+"/predict", "image/jpeg", bytes.NewReader(data))
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, "", err
	}
	var form struct {
		Predictions []struct {
			Top []struct{ Label string }
		}
	}
	if answer.StatusCode != http.StatusOK {
		return answer.StatusCode, string(body), nil
	}
	if err := json.Unmarshal(body, &form); err != nil || len(form.Predictions) != 1 || len(form.Predictions[0].Top) == 0 {
		return answer.StatusCode, string(body), err
	}
	return answer.StatusCode, form.Predictions[0].Top[0].Label, nil
}

func (c *container) wantEspresso(t *testing.T) {
	t.Helper()
	status, label, err := predict(c.url, img(t))
	if err != nil || status != http.StatusOK || !strings.Contains(label, "espresso") {
		t.Fatalf("the cup of coffee got %d, %q, %v; want 200 and espresso", status, label, err)
	}
}

func TestModelBakedIn(t *testing.T) {
	c := start(t, cpuImage)
	c.ready(t)
	c.wantEspresso(t)
}

// TestImageFormats sends formats that are build arguments to a hardened container: decoding AVIF starts a process.
func TestImageFormats(t *testing.T) {
	c := start(t, cpuImage)
	c.ready(t)
	for name, want := range map[string]int{"avif_420.avif": http.StatusOK, "avif_grid.avif": http.StatusOK, "heic_420.heic": http.StatusUnsupportedMediaType} {
		data, err := os.ReadFile(filepath.Join(root(), "preprocess/testdata/heif", name))
		if err != nil {
			t.Fatal(err)
		}
		if status, answer, err := predict(c.url, data); err != nil || status != want {
			t.Errorf("%s got %d, %q, %v; want %d", name, status, answer, err, want)
		}
	}
}

func TestModelMounted(t *testing.T) {
	if err := build(io.Discard, root(), "-t", bareImage, "--build-arg", "MODEL=none"); err != nil {
		t.Fatal(err)
	}
	if listed := contents(t, bareImage); listed["models/efficientnet-lite0/model.yaml"] != nil {
		t.Fatal("the image has a model")
	}
	// The model is taken from the other image, so that the test needs nothing installed.
	dir := t.TempDir()
	id := docker(t, "create", cpuImage)
	defer docker(t, "rm", id)
	docker(t, "cp", id+":/models", dir)
	c := start(t, bareImage, "--volume", dir+"/models:/models:ro")
	c.ready(t)
	c.wantEspresso(t)
}

func TestHealthCheckReportsHealthy(t *testing.T) {
	c := start(t, cpuImage)
	wait(t, 60*time.Second, "Docker calls the container healthy", func() bool { return c.state(t).State.Health.Status == "healthy" })
	var image struct {
		Config struct {
			Healthcheck struct {
				Test                           []string
				Interval, Timeout, StartPeriod time.Duration
				Retries                        int
			}
		}
	}
	inspect(t, cpuImage, &image)
	h := image.Config.Healthcheck
	if strings.Join(h.Test, " ") != "CMD /usr/local/bin/serve probe" || h.Interval == 0 || h.Timeout == 0 || h.StartPeriod == 0 || h.Retries == 0 {
		t.Errorf("health check is %+v", h)
	}
}

func TestProbeFailsWithoutServer(t *testing.T) {
	out, err := tryDocker(t, "run", "--rm", cpuImage, "probe")
	if err == nil {
		t.Fatalf("serve probe succeeds without a server: %s", out)
	}
}

// TestTermDrains stops the server as `docker stop` does while it processes requests with many images, all of which must
// be answered.
func TestTermDrains(t *testing.T) {
	const clients, images = 4, 48
	// Half a core keeps it busy for seconds on any machine, yet within the time limits.
	c := start(t, cpuImage, "--cpus", "0.5", "--env", "FOVEA_HTTP_TIMEOUT=2m", "--env", "FOVEA_SHUTDOWN_TIMEOUT=2m")
	c.ready(t)
	body, kind := manyImages(t, images)
	answers := make(chan string, clients)
	for range clients {
		go func() { answers <- countAnswers(c.url, kind, body) }()
	}
	wait(t, 30*time.Second, "the requests are in the server", func() bool {
		return strings.Contains(c.metrics(t), fmt.Sprintf("\nfovea_requests_in_flight %d\n", clients))
	})
	begin := time.Now()
	docker(t, "stop", "--time", "130", c.id)
	took := time.Since(begin)
	for range clients {
		if got, want := <-answers, fmt.Sprintf("200 with %d predictions", images); got != want {
			t.Errorf("an accepted request got %s; want %s", got, want)
		}
	}
	if s := c.state(t); s.State.ExitCode != 0 || s.State.OOMKilled {
		t.Errorf("the server exited with %d", s.State.ExitCode)
	}
	t.Logf("%d requests of %d images answered; exited %s after the signal", clients, images, took.Round(10*time.Millisecond))
}

// manyImages returns the body of a request that keeps the server busy for a while, and its content type.
func manyImages(t *testing.T, count int) ([]byte, string) {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for range count {
		part, err := form.CreateFormFile("image", "coffee.jpg")
		if err == nil {
			_, err = part.Write(img(t))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	return body.Bytes(), form.FormDataContentType()
}

func countAnswers(url, kind string, body []byte) string {
	answer, err := client.Post(url+"/predict", kind, bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	var form struct{ Predictions []struct{ Top []any } }
	if err := json.NewDecoder(answer.Body).Decode(&form); err != nil {
		return fmt.Sprintf("%d: %v", answer.StatusCode, err)
	}
	right := 0
	for _, p := range form.Predictions {
		if len(p.Top) > 0 {
			right++
		}
	}
	return fmt.Sprintf("%d with %d predictions", answer.StatusCode, right)
}

// metrics scrapes the server as Prometheus does.
func (c *container) metrics(t *testing.T) string {
	t.Helper()
	answer, err := client.Get(c.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %d, %v", answer.StatusCode, err)
	}
	return string(body)
}

//go:build engine

package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"fovea/docker/dockertest"
)

// These tests require a Docker engine (DOCKER_HOST or the default socket). They clean up after themselves; everything they create
// has the label fovea.test=docker.

// owner distinguishes this run's containers.
var owner = fmt.Sprintf("docker-test-%d", os.Getpid())

func engine(t *testing.T) *Client {
	t.Helper()
	return open(t, "")
}

// slug is a test's name in a form that engines accept.
func slug(t *testing.T) string {
	return strings.ToLower(strings.NewReplacer("/", "-", "#", "-").Replace(t.Name()))
}

// testImage builds the image of the escape test, with further Dockerfile lines if any, and removes it at the end of the test.
func testImage(t *testing.T, changes ...string) string {
	t.Helper()
	name := "fovea-docker-test:" + slug(t)
	changes = append([]string{"LABEL fovea.test=docker", "ENV NVIDIA_VISIBLE_DEVICES=all"}, changes...)
	if err := dockertest.ProgramImage(context.Background(), "", name, "./internal/escapetest", changes...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dockertest.RemoveImage(context.Background(), "", name); err != nil {
			t.Error(err)
		}
	})
	return name
}

// testSpec is a small container of the escape test on the test's own network.
func testSpec(t *testing.T, c *Client, image string) Spec {
	t.Helper()
	s := Defaults()
	s.Name = owner + "-" + slug(t)
	s.Image, s.Memory, s.TmpfsSize, s.ShmSize, s.StopGrace = image, 64<<20, 16<<20, 1<<20, time.Second
	s.Network = s.Name
	s.Labels = map[string]string{LabelOwner: owner, LabelReplica: "0", "fovea.test": "docker"}
	ctx := context.Background()
	if err := c.EnsureNetwork(ctx, s.Network, owner); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.RemoveNetwork(context.Background(), s.Network, owner); err != nil {
			t.Error(err)
		}
	})
	return s
}

// create creates a container and removes it at the end of the test.
func create(t *testing.T, c *Client, s Spec) string {
	t.Helper()
	id, err := c.Create(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Remove(context.Background(), id); err != nil {
			t.Error(err)
		}
	})
	return id
}

// testContainer is a running container of the escape test.
type testContainer struct {
	id, url string
	status  Status
}

func start(t *testing.T, c *Client, s Spec) testContainer {
	t.Helper()
	id := create(t, c, s)
	if err := c.Start(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	status := inspect(t, c, id)
	p := testContainer{id, fmt.Sprintf("http://127.0.0.1:%d", status.HostPort), status}
	for end := time.Now().Add(testTimeout); ; time.Sleep(10 * time.Millisecond) {
		answer, err := browser.Get(p.url + "/env")
		if err == nil {
			_ = answer.Body.Close()
			return p
		}
		if time.Now().After(end) {
			lines, _ := c.Logs(context.Background(), id, 20)
			t.Fatalf("the container does not respond: %v; its log: %q", err, lines)
		}
	}
}

// browser keeps no idle connections, which would outlive their test.
var browser = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: testTimeout}

// get sends a request and decodes the response, as JSON unless the result is a string.
func get[T any](t *testing.T, p testContainer, path string) T {
	t.Helper()
	answer, err := browser.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var result T
	if text, ok := any(&result).(*string); ok && strings.HasPrefix(path, "/file") {
		*text = string(data)
		return result
	}
	if err := json.Unmarshal(data, &result); err != nil {
		t.Fatalf("%s: %v: %q", path, err, data)
	}
	return result
}

func (p testContainer) file(t *testing.T, path string) string {
	t.Helper()
	return get[string](t, p, "/file?path="+url.QueryEscape(path))
}

func inspect(t *testing.T, c *Client, id string) Status {
	t.Helper()
	status, err := c.Inspect(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(testTimeout); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

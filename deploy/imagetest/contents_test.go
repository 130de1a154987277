//go:build image

package imagetest

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// contents lists an image's files, as seen in a container, by path without the leading slash.
func contents(t *testing.T, image string) map[string]*tar.Header {
	t.Helper()
	list := map[string]*tar.Header{}
	eachFile(t, image, func(h *tar.Header, _ io.Reader) { list[strings.TrimSuffix(h.Name, "/")] = h })
	return list
}

func eachFile(t *testing.T, image string, visit func(*tar.Header, io.Reader)) {
	t.Helper()
	id := docker(t, "create", image)
	defer docker(t, "rm", id)
	cmd := exec.Command("docker", "export", id)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(pipe)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		visit(header, archive)
	}
	if _, err := io.Copy(io.Discard, pipe); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

func file(t *testing.T, image, name string) []byte {
	t.Helper()
	var found []byte
	eachFile(t, image, func(h *tar.Header, r io.Reader) {
		if h.Name == name {
			var err error
			if found, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	})
	if found == nil {
		t.Fatalf("%s has no %s", image, name)
	}
	return found
}

// TestOnlyExpectedFiles checks the image for unexpected kinds of file.
func TestOnlyExpectedFiles(t *testing.T) {
	allowed := regexp.MustCompile(`^(usr/local/bin/(serve|supervise)|usr/lib/fovea/[^/]+\.so|usr/local/lib/libdav1d\.so\.\d+|usr/lib/[a-z0-9_]+-linux-gnu/[^/]+\.so(\.\d+)*|` +
		`usr/lib(64)?/ld-linux-[^/]+|lib|lib64|models/.*|usr/share/(doc|fovea)/.*|var/lib/dpkg/status\.d/.*|` +
		`etc/(os-release|passwd|group|ssl/certs/ca-certificates\.crt))$`)
	// Docker creates these in every container.
	engine := regexp.MustCompile(`^(\.dockerenv|dev|proc|sys|etc/(hostname|hosts|mtab|resolv\.conf))(/|$)`)
	for _, image := range []string{cpuImage, supervisor(t)} {
		for name, h := range contents(t, image) {
			if h.FileInfo().IsDir() || engine.MatchString(name) {
				continue
			}
			if !allowed.MatchString(name) {
				t.Errorf("unexpected file %s in %s", name, image)
			}
		}
	}
}

func TestNoPrivilegedFiles(t *testing.T) {
	for name, h := range contents(t, cpuImage) {
		if mode := h.Mode; mode&0o6000 != 0 {
			t.Errorf("%s is setuid or setgid (%o)", name, mode)
		}
		if h.Typeflag != tar.TypeSymlink && h.Mode&0o002 != 0 && name != "tmp" {
			t.Errorf("%s is world-writable (%o)", name, h.Mode)
		}
		if strings.HasPrefix(name, "usr/") && h.Uid != 0 {
			t.Errorf("%s belongs to %d; want root", name, h.Uid)
		}
		for key := range h.PAXRecords {
			if strings.Contains(key, "security.capability") {
				t.Errorf("%s has capabilities", name)
			}
		}
	}
}

// secretWords indicate secrets.
var secretWords = regexp.MustCompile(`(?i)(password|passwd|secret|token|api[_-]?key|credential)[a-z_]*\s*[=:]`)

// TestNoSecrets checks that no layer contains keys, by name or first bytes, and that history and settings contain no
// words that indicate secrets.
func TestNoSecrets(t *testing.T) {
	names := regexp.MustCompile(`(^|/)(\.env.*|\.git|\.netrc|\.npmrc|\.docker|\.aws|\.ssh|id_[a-z0-9]+|.*\.(key|pem|p12))$`)
	key := []byte("PRIVATE KEY-----")
	eachFile(t, cpuImage, func(h *tar.Header, r io.Reader) {
		if names.MatchString(strings.TrimSuffix(h.Name, "/")) {
			t.Errorf("the image contains %s", h.Name)
		}
		head, err := io.ReadAll(io.LimitReader(r, 256))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(head, key) {
			t.Errorf("%s is a private key", h.Name)
		}
	})
	var config struct{ Config struct{ Env []string } }
	inspect(t, cpuImage, &config)
	history := docker(t, "history", "--no-trunc", "--format", "{{.CreatedBy}}", cpuImage)
	for _, text := range append(config.Config.Env, strings.Split(history, "\n")...) {
		if found := secretWords.FindString(text); found != "" {
			t.Errorf("%q in %q", found, text)
		}
	}
}

func TestSettings(t *testing.T) {
	var image struct {
		Config struct {
			User       string
			Env        []string
			Entrypoint []string
			Cmd        []string
			Labels     map[string]string
			StopSignal string
		}
	}
	inspect(t, cpuImage, &image)
	c := image.Config
	if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(c.User) {
		t.Errorf("user is %q; want numeric non-root ids, which an orchestrator can check", c.User)
	}
	for _, variable := range c.Env {
		if strings.HasPrefix(variable, "LD_") {
			t.Errorf("the image sets %s", variable)
		}
	}
	if !slices.Contains(c.Env, "ORT_DISABLE_TELEMETRY=1") {
		t.Error("ONNX Runtime's telemetry is on")
	}
	if !slices.ContainsFunc(c.Env, func(v string) bool {
		grace, set := strings.CutPrefix(v, "FOVEA_SHUTDOWN_BROKEN_AFTER=")
		return set && grace != "0" && grace != ""
	}) {
		t.Error("a server that requires a restart would not exit, and engines would not restart it")
	}
	if len(c.Entrypoint) != 1 || path.Base(c.Entrypoint[0]) != "serve" {
		t.Errorf("entrypoint is %q; want the server itself, so that it receives signals", c.Entrypoint)
	}
	wantLabels(t, c.Labels)
}

// wantLabels checks that an image says what it is.
func wantLabels(t *testing.T, labels map[string]string) {
	t.Helper()
	for _, name := range []string{"title", "description", "licenses", "version", "revision", "created", "base.name"} {
		if labels["org.opencontainers.image."+name] == "" {
			t.Errorf("label org.opencontainers.image.%s is missing", name)
		}
	}
}

// TestBillOfMaterials checks the SBOM against the image.
func TestBillOfMaterials(t *testing.T) {
	var bom struct {
		BOMFormat, SpecVersion string
		Components             []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(file(t, cpuImage, "usr/share/fovea/sbom.cdx.json"), &bom); err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != "CycloneDX" || bom.SpecVersion != "1.6" {
		t.Errorf("format is %s %s", bom.BOMFormat, bom.SpecVersion)
	}
	var listed []string
	for _, c := range bom.Components {
		if c.Version == "" {
			t.Errorf("%s has no version", c.Name)
		}
		listed = append(listed, c.PURL)
	}
	want := []string{ // prefixes of package URLs: Go, the C library, other libraries
		"pkg:golang/stdlib@1.26", "pkg:golang/gocv.io/x/gocv@v", "pkg:golang/github.com/yalue/onnxruntime_go@v",
		"pkg:golang/github.com/gin-gonic/gin@v", "pkg:deb/debian/opencv@4.", "pkg:deb/debian/libjpeg62-turbo-dev@",
		"pkg:deb/debian/libdav1d6@", "pkg:deb/debian/libwebp-dev@", "pkg:deb/debian/zlib1g-dev@", "pkg:pypi/onnxruntime@1.",
	}
	for name := range contents(t, cpuImage) {
		if dir, base := path.Split(name); dir == "var/lib/dpkg/status.d/" && base != "" {
			want = append(want, fmt.Sprintf("pkg:deb/debian/%s@", strings.ReplaceAll(base, "+", "%2B")))
		}
	}
	for _, beginning := range want {
		if !slices.ContainsFunc(listed, func(purl string) bool { return strings.HasPrefix(purl, beginning) }) {
			t.Errorf("no component begins with %s", beginning)
		}
	}
}

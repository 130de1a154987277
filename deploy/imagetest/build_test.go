//go:build image

package imagetest

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// checkout copies the files that git tracks or would add into a new folder.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		from, to := filepath.Join(root(), name), filepath.Join(dir, name)
		info, err := os.Stat(from)
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted but not committed
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, data, info.Mode().Perm())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// step is one line of the Dockerfile in the builder's output, such as [opencv 2/4] RUN ….
type step struct {
	stage  string
	text   string
	cached bool
}

var (
	stepLine   = regexp.MustCompile(`^#(\d+) \[(?:linux/\S+ )?(\S+) +\d+/\d+\] (.*)$`)
	cachedLine = regexp.MustCompile(`^#(\d+) CACHED$`)
)

// steps runs a build in a folder, with more arguments, and returns its steps.
func steps(t *testing.T, dir string, args ...string) []step {
	t.Helper()
	var out bytes.Buffer
	if err := build(&out, dir, append(args, "-t", "fovea-test:changed")...); err != nil {
		t.Fatal(err)
	}
	byNumber := map[string]*step{}
	for line := range strings.Lines(out.String()) {
		line = strings.TrimRight(line, "\n")
		if m := stepLine.FindStringSubmatch(line); m != nil {
			byNumber[m[1]] = &step{stage: m[2], text: m[3]}
		} else if m := cachedLine.FindStringSubmatch(line); m != nil && byNumber[m[1]] != nil {
			byNumber[m[1]].cached = true
		}
	}
	list := make([]step, 0, len(byNumber))
	for _, s := range byNumber {
		list = append(list, *s)
	}
	return list
}

// TestBuildCache builds, changes a file, builds again, and checks in the builder's output which stages were rebuilt.
func TestBuildCache(t *testing.T) {
	for _, test := range []struct {
		name, file, text string
		rebuilt          []string // stages that may be rebuilt; all others must come from the cache
		must             string   // the stage that must be rebuilt
	}{
		{"a Go file", "internal/apierror/apierror.go", "\nvar changed = %d\n", []string{"build", "contents-cpu", "cpu"}, "build"},
		{"go.mod", "go.mod", "\n// changed %d\n", []string{"modules", "build", "contents-cpu", "cpu"}, "modules"},
	} {
		t.Run("a change in "+test.name, func(t *testing.T) {
			dir := checkout(t)
			steps(t, dir)
			// A unique change each time: the cache still has the results of earlier runs.
			appendTo(t, filepath.Join(dir, test.file), fmt.Sprintf(test.text, time.Now().UnixNano()))
			worked := map[string]int{}
			for _, s := range steps(t, dir) {
				if s.cached || strings.HasPrefix(s.text, "FROM ") {
					continue
				}
				worked[s.stage]++
				if !strings.Contains(" "+strings.Join(test.rebuilt, " ")+" ", " "+s.stage+" ") {
					t.Errorf("stage %s was rebuilt: %s", s.stage, s.text)
				}
			}
			if worked[test.must] == 0 {
				t.Errorf("stage %s was not rebuilt; rebuilt were %v", test.must, worked)
			}
			t.Logf("rebuilt: %v", worked)
		})
	}
}

// TestContextIsSmall sends the build context of a cluttered checkout and checks what arrives.
func TestContextIsSmall(t *testing.T) {
	dir := checkout(t)
	for name, size := range map[string]int{
		"bin/serve": 30 << 20, ".git/objects/pack/pack-1.pack": 30 << 20, "models/mine/1/model.onnx": 30 << 20,
		"models/efficientnet-lite0/1/model.onnx": 18 << 20, "models/.env": 100, "testdata/big.png": 10 << 20,
		".env": 100, "cmd/serve/.env.production": 100, "id_ed25519": 400, "bench/results.json": 10 << 20, "core.1234": 10 << 20,
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, make([]byte, size), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	dockerfile, sent := filepath.Join(t.TempDir(), "Dockerfile"), filepath.Join(t.TempDir(), "context.tar")
	if err := os.WriteFile(dockerfile, []byte("FROM scratch\nCOPY . /\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := build(io.Discard, dir, "--file", dockerfile, "--output", "type=tar,dest="+sent); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(sent)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	total := int64(0)
	unwanted := regexp.MustCompile(`(^|/)(\.env|\.git|id_|core\.\d|testdata|bench)|\.onnx$|^bin/|_test\.go$`)
	ofLoadTest := regexp.MustCompile(`^testdata/(images/(\w+\.jpg)?)?$`)
	for archive := tar.NewReader(file); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		total += h.Size
		if unwanted.MatchString(h.Name) && !ofLoadTest.MatchString(h.Name) {
			t.Errorf("the context holds %s", h.Name)
		}
	}
	t.Logf("the context has %s", fmt.Sprintf("%.2f MB", float64(total)/megabyte))
	if total > 5*megabyte || total == 0 {
		t.Errorf("the context has %d bytes; at most 5 MB are allowed", total)
	}
}

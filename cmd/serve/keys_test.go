package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fovea/internal/apikey"
	"fovea/internal/exitcode"
	"fovea/internal/testenv"
)

// newTestKey makes a key with the binary and returns it.
func newTestKey(t *testing.T, file, name string, args ...string) string {
	t.Helper()
	cmd := command(t, "/", append([]string{"keys", "new", name, "--http.keys=" + file}, args...)...)
	var notes bytes.Buffer
	cmd.Stderr = &notes
	out, err := cmd.Output()
	if err != nil || !strings.Contains(notes.String(), "added "+name+" to "+file) {
		t.Fatalf("%v: %s%s", err, out, notes.String())
	}
	return strings.TrimSpace(string(out))
}

// sent sends a prediction with a key and returns the status.
func (p *process) sent(path, secret string) int {
	p.t.Helper()
	got, err := p.do("POST", path, http.Header{"Content-Type": {"image/jpeg"}, "X-Api-Key": {secret}}, bytes.NewReader(testenv.Image(p.t, "coffee.jpg")))
	if err != nil {
		p.t.Fatal(err)
	}
	return got.status
}

func TestKeysOfTheBinary(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.yaml")
	camera := newTestKey(t, file, "camera", "--models="+model, "--rate=0.01", "--burst=3")
	other := newTestKey(t, file, "other", "--models=another")
	p := start(t, newRepository(t), "--http.keys="+file)
	p.waitReady()
	for _, test := range []struct {
		name, path, secret string
		want               int
	}{
		{"no key", predictPath, "", 401},
		{"a wrong key", predictPath, apikey.New(), 401},
		{"a key of another model", predictPath, other, 403},
		{"a key of another model, with the default model", "/predict", other, 403},
		{"its key", predictPath, camera, 200},
		{"its key, with the default model", "/predict", camera, 200},
		{"its key again", predictPath, camera, 200},
		{"its key above its rate", predictPath, camera, 429},
	} {
		if got := p.sent(test.path, test.secret); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
	if got := p.get("/metrics"); got.status != 401 {
		t.Errorf("metrics without a key: %d", got.status)
	}
	monitor := newTestKey(t, file, "monitor", "--scopes=models") // while the server runs
	metrics := func() reply {
		got, err := p.do("GET", "/metrics", http.Header{"Authorization": {"Bearer " + monitor}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	p.wait("the new key is valid", func() bool { return metrics().status == 200 })
	if text := metrics().body; !strings.Contains(text, `fovea_key_requests_total{key="camera",status="200"} 3`) {
		t.Errorf("metrics do not have the key's requests:\n%s", text)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{camera, other, monitor} {
		if strings.Contains(p.logged(), secret[6:]) || bytes.Contains(content, []byte(secret[6:])) {
			t.Error("a key is in the log or in the file")
		}
	}
	if !strings.Contains(p.logged(), "-H 'X-API-Key: KEY'") {
		t.Errorf("the line with a command to try does not mention the key: %s", p.logged())
	}
}

// Keys are added and removed while others send requests, none of which fails. A broken file changes nothing.
func TestChangedKeysFailNoRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.yaml")
	stays, goes := newTestKey(t, file, "stays"), newTestKey(t, file, "goes")
	p := start(t, newRepository(t), "--http.keys="+file)
	p.waitReady()
	stop := load(t, 2, func(int) error {
		if got := p.sent("/predict", stays); got != 200 {
			return fmt.Errorf("a request with the key that stays gets %d", got)
		}
		return nil
	})
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replace([]byte("keys: broken\n"))
	p.wait("the broken file is logged", func() bool { return strings.Contains(p.logged(), "cannot be used") })
	if got := p.sent("/predict", goes); got != 200 {
		t.Errorf("with a broken file, a key gets %d", got)
	}
	replace(content[:bytes.LastIndex(content, []byte("  - name"))])
	p.wait("the removed key is refused", func() bool { return p.sent("/predict", goes) == 401 })
	time.Sleep(50 * time.Millisecond)
	requests := stop()
	if n := strings.Count(p.logged(), "cannot be used"); n != 1 || requests == 0 {
		t.Errorf("%d requests; the broken file is logged %d times", requests, n)
	}
}

func TestNewKeysThatAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.yaml")
	newTestKey(t, file, "taken")
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"a name that is taken":   {[]string{"taken", "--http.keys=" + file}, "keys[1].name: is that of keys[0] as well"},
		"a name with a space":    {[]string{"a b"}, `name: "a b" is not a name`},
		"an unknown scope":       {[]string{"a", "--scopes=all"}, `--scopes[0]: "all" is not one of predict, models, admin`},
		"several errors":         {[]string{"a b", "--rate=-1"}, "--rate: -1 is out of range"},
		"a burst without a rate": {[]string{"a", "--burst=2"}, "--burst: has no effect without rate"},
		"a missing folder":       {[]string{"a", "--http.keys=/none/keys.yaml"}, "no such file or directory"},
		"no name":                {nil, "accepts 1 arg(s), received 0"},
	} {
		out, err := command(t, "/", append([]string{"keys", "new"}, test.args...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), test.says) {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

func TestNewKeyWithoutAFile(t *testing.T) {
	out, err := command(t, "/", "keys", "new", "camera", "--concurrent=2").CombinedOutput()
	text := string(out)
	start := strings.Index(text, "fovea_")
	if err != nil || start < 0 {
		t.Fatalf("%v: %s", err, out)
	}
	secret := strings.Fields(text[start:])[0]
	if !strings.Contains(text, apikey.Hash(secret)) || !strings.Contains(text, "concurrent: 2") {
		t.Errorf("the entry: %s", text)
	}
}

func TestCertificatesAndKeysThatCannotBeReadAreReportedTogether(t *testing.T) {
	out, err := command(t, "/none", "--http.address=127.0.0.1:0", "--http.tls.certificate=/none.crt", "--http.tls.key=/none.key", "--http.keys=/none.yaml").CombinedOutput()
	text := string(out)
	if exitStatus(err) != exitcode.Configuration || !strings.Contains(text, "http.tls: open /none.crt") || !strings.Contains(text, "http.keys: open /none.yaml") {
		t.Errorf("%v: %s", err, out)
	}
}

//go:build cluster

package helm

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fovea/internal/testenv"
)

// pulledModel: a model whose definition is in a ConfigMap, and whose weights an init container fetches and verifies; mTLS, so that the
// probes run in the container; and then weights with another digest than the definition's.
func pulledModel(t *testing.T) {
	const release = "pulled"
	definition, labels, weights := classifier(t)
	ca, dir := testenv.NewCA(t), t.TempDir()
	certificate, key := ca.Files(dir, "client")
	apply(t, kubectl(t, "create", "secret", "tls", "pulled-tls", "--cert="+certificate, "--key="+key, "--dry-run=client", "-o", "yaml"))
	apply(t, kubectl(t, "create", "secret", "generic", "pulled-clients", "--from-file=ca.crt="+ca.File(dir), "--dry-run=client", "-o", "yaml"))
	source := mirror(t, weights)
	values := func(digest [32]byte) string {
		text := fmt.Sprintf("%s\nsource:\n  url: https://models.example/classifier.onnx\n  sha256: %s\n", definition, hex.EncodeToString(digest[:]))
		data, err := json.Marshal(map[string]any{
			"models": map[string]any{"from": "pull", "claim": map[string]any{"name": ""}, "pull": map[string]any{"names": []string{"classifier"}},
				"definitions": map[string]any{"classifier": map[string]string{"model.yaml": text, "labels.txt": string(labels)}}},
			"config":        map[string]any{"repository": map[string]string{"mirror": source}},
			"tls":           map[string]any{"secretName": "pulled-tls", "clientCA": map[string]string{"secretName": "pulled-clients"}},
			"networkPolicy": map[string]any{"egress": []any{map[string]any{"to": []any{map[string]any{"ipBlock": map[string]string{"cidr": "198.18.0.0/15"}}}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "values.yaml")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return "--values=" + path
	}
	unclaimed := slices.DeleteFunc(slices.Clone(common), func(arg string) bool { return strings.Contains(arg, "models.from=") })
	install := func(digest [32]byte) {
		helmRun(t, append(append([]string{"upgrade", "--install", release, "fovea"}, unclaimed...), "--set=image.tag=cluster,replicas=1", onNodes("node-3"), values(digest))...)
	}
	r := event(t, "a model pulled by the init container, with its definition in a ConfigMap, and mTLS", "serves clients with a certificate; another digest is refused with the reason")
	begin := time.Now()
	install(sha256.Sum256(weights))
	rolledOut(t, release, 5*time.Minute)
	r.figure("ready after %s", time.Since(begin).Round(time.Second))
	url := "https://" + readyPods(t, release)[0].Status.PodIP + ":8000/predict"
	image := []string{"--output", "/dev/null", "--write-out", "%{http_code}", "-H", "Content-Type: image/jpeg", "--data-binary", "@../../testdata/images/coffee.jpg", url}
	if status := curlAt(t, append([]string{"--cert", certificate, "--key", key}, image...)...); status != "200" {
		t.Errorf("with a certificate: status %q", status)
	}
	if status := curlAt(t, image...); status == "200" {
		t.Errorf("without a certificate: status %q", status)
	}
	before := uids(readyPods(t, release))
	other := sha256.Sum256(nil)
	install(other)
	took := eventually(t, "the reason is shown", 2*time.Minute, func() bool {
		return strings.Contains(reasons(t, release), hex.EncodeToString(other[:]))
	})
	if now := uids(readyPods(t, release)); now != before {
		t.Errorf("with a wrong digest %s is ready, not %s", now, before)
	}
	r.figure("wrong digest shown after %s, the old pod serves on", took.Round(time.Second))
	helmRun(t, "uninstall", release)
}

// mirror serves weights in the cluster's network until the test ends, and returns its address.
func mirror(t *testing.T, weights []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "classifier.onnx"), weights, 0o644); err != nil {
		t.Fatal(err)
	}
	const address = "198.18.0.1:8099"
	cmd := exec.CommandContext(t.Context(), filepath.Join(program(t, "FOVEA_TEST_CLUSTER"), "in"), "python3", "-m", "http.server", "--bind", "198.18.0.1", "--directory", dir, "8099")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // ended with the test's context
	eventually(t, "the mirror answers", time.Minute, func() bool { return curlAt(t, "--head", "http://"+address+"/classifier.onnx") != "" })
	return "http://" + address
}

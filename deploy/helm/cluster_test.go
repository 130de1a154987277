//go:build cluster

// These tests run on a real cluster, which make cluster-test starts: see docs/kubernetes.md for what they prove, and their figures.
package helm

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fovea/internal/apikey"
	"fovea/internal/testenv"
)

const space = "fovea-test"

// The NodePorts of the tests' releases, counted from the first.
const (
	eventsPort = iota
	scaledPort
	gpuPort
	cutPort
	killedPort
	measuredPort
)

// nodePort is one of the ports that the kit offers on this machine.
func nodePort(i int) int {
	first, err := strconv.Atoi(cmp.Or(os.Getenv("CLUSTER_PORTS"), "18500"))
	if err != nil {
		panic("CLUSTER_PORTS: " + err.Error())
	}
	return first + 80 + i
}

// models is a folder of this machine that the nodes share, behind a PersistentVolume.
var models = "/var/lib/fovea-cluster-test/models"

// TestCluster is all that happens to the cluster. Most events are waiting, so they run side by side; the loss of nodes comes after what
// needs them, and what needs the machine's cores for itself comes last.
func TestCluster(t *testing.T) {
	prepare(t)
	sideBySide(t, "events", map[string]func(*testing.T){
		"fake nodes": manyReleases,
		"real nodes": func(t *testing.T) {
			sideBySide(t, "operations", map[string]func(*testing.T){
				"release": operations, "pull": pulledModel, "measured": measuredRelease, "objects": objectsAreTaken})
			sideBySide(t, "losses", map[string]func(*testing.T){"cut": nodeCutOff, "killed": nodeKilled, "GPUs": gpus})
		},
	})
	t.Run("load", autoscaling)
}

// sideBySide runs the parts of a test and returns when all have ended.
func sideBySide(t *testing.T, name string, parts map[string]func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		for name, part := range parts {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				part(t)
			})
		}
	})
}

// objectsAreTaken: the API server takes what the chart makes of each file of values, and KServe's objects.
func objectsAreTaken(t *testing.T) {
	r := event(t, "dry run on the server with strict validation", "no error, no warning")
	r.figure("%d files of values and manifests, with those of KServe, Gateway API, KEDA and the Prometheus operator", serverTakesTheObjects(t))
}

// kubectlTry runs kubectl in the tests' name space, or that in args.
func kubectlTry(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	out, errs, err := run(t, []byte(input), "kubectl", append([]string{"--namespace=" + space}, args...)...)
	if err != nil {
		return out, fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, errs)
	}
	return strings.TrimSpace(out), nil
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := kubectlTry(t, "", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func apply(t *testing.T, manifest string) {
	t.Helper()
	if _, err := kubectlTry(t, manifest, "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// helmTry runs Helm in the tests' name space, or that in args.
func helmTry(t *testing.T, args ...string) error {
	t.Helper()
	out, errs, err := run(t, nil, program(t, "FOVEA_TEST_HELM"), append([]string{"--namespace=" + space}, args...)...)
	if err != nil {
		return fmt.Errorf("helm %s: %w: %s%s", strings.Join(args, " "), err, out, errs)
	}
	return nil
}

func helmRun(t *testing.T, args ...string) {
	t.Helper()
	if err := helmTry(t, args...); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until something holds and returns how long that took.
func eventually(t *testing.T, what string, limit time.Duration, holds func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !holds() {
		if time.Since(begin) > limit {
			t.Fatalf("%s: not after %s\n%s", what, limit, kubectl(t, "get", "pods", "-o", "wide"))
		}
		time.Sleep(300 * time.Millisecond)
	}
	return time.Since(begin)
}

// podOf is what a test reads of a pod.
type podOf struct {
	Metadata struct {
		Name, UID         string
		DeletionTimestamp string
	}
	Spec   struct{ NodeName string }
	Status struct {
		PodIP, Phase      string
		Conditions        []struct{ Type, Status string }
		ContainerStatuses []struct{ RestartCount int }
	}
}

func (p podOf) ready() bool {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			return p.Metadata.DeletionTimestamp == ""
		}
	}
	return false
}

// on are those of a list that are on a node.
func on(list []podOf, node string) []podOf {
	return slices.DeleteFunc(slices.Clone(list), func(p podOf) bool { return p.Spec.NodeName != node })
}

// pods lists the pods of a release.
func pods(t *testing.T, release string) (list []podOf) {
	t.Helper()
	var answer struct{ Items []podOf }
	for try := 0; ; try++ {
		text, err := kubectlTry(t, "", "get", "pods", "-l", "app.kubernetes.io/instance="+release, "-o", "json")
		if err == nil {
			err = json.Unmarshal([]byte(text), &answer)
		}
		switch {
		case err == nil:
			return answer.Items
		case try == 2: // a busy API server may refuse once
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
}

func readyPods(t *testing.T, release string) (list []podOf) {
	t.Helper()
	for _, p := range pods(t, release) {
		if p.ready() {
			list = append(list, p)
		}
	}
	return list
}

// fullStrength waits until a release has so many ready pods.
func fullStrength(t *testing.T, release string, n int, limit time.Duration) time.Duration {
	t.Helper()
	return eventually(t, fmt.Sprintf("%d ready pods", n), limit, func() bool { return len(readyPods(t, release)) == n })
}

// onlyRunning waits until n pods of a release are ready and no others run, so that those that end have ended.
func onlyRunning(t *testing.T, release string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("only %d pods", n), 3*time.Minute, func() bool {
		running := slices.DeleteFunc(pods(t, release), func(p podOf) bool { return p.Status.Phase == "Failed" })
		return len(running) == n && len(readyPods(t, release)) == n
	})
}

// rolledOut waits for a rollout.
func rolledOut(t *testing.T, release string, limit time.Duration) {
	t.Helper()
	kubectl(t, "rollout", "status", "deployment/"+release+"-fovea", "--timeout="+limit.String())
}

// common are the values of all releases here: the machine's cores are few.
var common = []string{"--set=image.repository=fovea", "--set=image.pullPolicy=Never", "--set=strategy.minReadySeconds=3",
	"--set=resources.requests.cpu=100m", "--set=resources.limits.cpu=1", "--set=resources.requests.memory=256Mi", "--set=resources.limits.memory=512Mi",
	"--set=models.from=claim,models.claim.name=models,models.poll=1s", "--set=config.inference.models={classifier:required}",
	"--set-string=podAnnotations.prometheus\\.io/scrape=true,podAnnotations.prometheus\\.io/port=8000"}

// install installs or upgrades a release with further arguments.
func install(t *testing.T, release string, args ...string) {
	t.Helper()
	helmRun(t, append(append([]string{"upgrade", "--install", release, "fovea"}, common...), args...)...)
}

// onNodes are the values that keep a release on some nodes.
func onNodes(names ...string) string {
	return `--set-json=affinity={"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":` +
		`[{"key":"kubernetes.io/hostname","operator":"In","values":["` + strings.Join(names, `","`) + `"]}]}]}}}`
}

// prepare makes the name space, restricted, and the volume with one model of one version.
func prepare(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(models, "classifier/2")); err != nil {
		t.Fatal(err)
	}
	writeModel(t, "1")
	linkModel(t)
	apply(t, `
apiVersion: v1
kind: Namespace
metadata: {name: `+space+`, labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: fovea-models}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadOnlyMany]
  storageClassName: none
  claimRef: {namespace: `+space+`, name: models}
  hostPath: {path: `+models+`}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: models, namespace: `+space+`}
spec: {accessModes: [ReadOnlyMany], storageClassName: none, volumeName: fovea-models, resources: {requests: {storage: 1Gi}}}
`)
	eventually(t, "the claim is bound", time.Minute, func() bool { return kubectl(t, "get", "pvc", "models", "-o", "jsonpath={.status.phase}") == "Bound" })
}

// writeModel adds a version of the default classifier to the volume, without its self-test, which a simulated GPU could not pass. The
// weights are put there under another name first.
func writeModel(t *testing.T, version string) {
	t.Helper()
	dir := filepath.Join(models, "classifier")
	if err := os.MkdirAll(filepath.Join(dir, version), 0o755); err != nil {
		t.Fatal(err)
	}
	definition, labels, weights := classifier(t)
	for name, data := range map[string][]byte{"model.yaml": definition, "labels.txt": labels, version + "/model.onnx": weights} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path+".new", data, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}

// linkedModel is a model on the volume whose definition and labels are links to those of a ConfigMap.
const linkedModel = "linked"

func linkModel(t *testing.T) {
	t.Helper()
	_, _, weights := classifier(t)
	dir := filepath.Join(models, linkedModel)
	if err := errors.Join(os.MkdirAll(filepath.Join(models, ".definitions"), 0o755), os.MkdirAll(filepath.Join(dir, "1"), 0o755),
		os.WriteFile(filepath.Join(dir, "1/model.onnx"), weights, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"model.yaml", "labels.txt"} {
		if err := os.Symlink("../.definitions/"+linkedModel+"/"+name, filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
}

// defined are the values that define the linked model, whose first class has a label.
func defined(t *testing.T, label string) string {
	t.Helper()
	definition, labels, _ := classifier(t)
	_, rest, _ := bytes.Cut(labels, []byte("\n"))
	data, err := json.Marshal(map[string]any{"models": map[string]any{"definitions": map[string]any{
		linkedModel: map[string]string{"model.yaml": string(definition), "labels.txt": label + "\n" + string(rest)}}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return "--values=" + path
}

// classifier is the default classifier: its definition without self-test and source, its labels and its weights.
func classifier(t *testing.T) (definition, labels, weights []byte) {
	t.Helper()
	var files [3][]byte
	for i, name := range []string{"model.yaml", "labels.txt", "1/model.onnx"} {
		data, err := os.ReadFile(filepath.Join("../../models/efficientnet-lite0", name))
		if err != nil {
			t.Fatal(err)
		}
		files[i] = data
	}
	definition, _, _ = bytes.Cut(files[0], []byte("self_test:"))
	return definition, files[1], files[2]
}

// secrets writes the Secrets of certificate and API keys: one key for the clients before, and one for those after. It returns the
// certificate's serial number, and the newer key.
func secrets(t *testing.T, ca *testenv.CA, before *apikey.Key) (serial string, key apikey.Key, secret string) {
	t.Helper()
	certificate, private := ca.Files(t.TempDir(), "fovea")
	pair, err := tls.LoadX509KeyPair(certificate, private)
	if err != nil {
		t.Fatal(err)
	}
	secret = apikey.New()
	key = apikey.Key{Name: "key-" + pair.Leaf.SerialNumber.Text(36), Hash: apikey.Hash(secret), Scopes: []string{"predict", "models"}}
	text := "keys:\n" + key.Entry()
	if before != nil {
		text += before.Entry()
	}
	keys := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(keys, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	apply(t, kubectl(t, "create", "secret", "tls", "fovea-tls", "--cert="+certificate, "--key="+private, "--dry-run=client", "-o", "yaml"))
	apply(t, kubectl(t, "create", "secret", "generic", "fovea-keys", "--from-file=keys.yaml="+keys, "--dry-run=client", "-o", "yaml"))
	return pair.Leaf.SerialNumber.String(), key, secret
}

// address is that of a NodePort.
func address(scheme string, port int) string {
	return fmt.Sprintf("%s://127.0.0.1:%d", scheme, nodePort(port))
}

// atNodePort are the values of a Service with a NodePort.
func atNodePort(port int) string {
	return fmt.Sprintf("--set=service.type=NodePort,service.nodePort=%d", nodePort(port))
}

// answering waits until the NodePort answers: kube-proxy learns of a new Service after a few seconds.
func answering(t *testing.T, url string) {
	t.Helper()
	eventually(t, url+" answers", time.Minute, func() bool {
		client := http.Client{Timeout: 2 * time.Second}
		response, err := client.Get(url + "/ready")
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, response.Body)
		return response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
}

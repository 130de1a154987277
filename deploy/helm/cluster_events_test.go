//go:build cluster

package helm

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fovea/internal/apikey"
	"fovea/internal/testenv"
)

const (
	mainRelease = "main" // what the operations happen to
	replicas    = 3
	atMost      = 10 // requests per second: the machine's cores are shared by all nodes and the control plane
)

// operations sends a steady load to a release while what is usual happens to it, and what ends a part of it. It is on node-1 and node-2.
func operations(t *testing.T) {
	ca := testenv.NewCA(t)
	serial, key, secret := secrets(t, ca, nil)
	values := []string{fmt.Sprintf("--set=replicas=%d", replicas), atNodePort(eventsPort), onNodes("node-1", "node-2"),
		"--set=tls.secretName=fovea-tls,keys.secretName=fovea-keys", "--set=image.tag=cluster",
		"--set=config.inference.models={classifier:required," + linkedModel + ":required},config.inference.default=classifier"}
	first, second := defined(t, "first"), defined(t, "second")
	url, rate := address("https", eventsPort), 0.0
	t.Run("installation", func(t *testing.T) {
		r := event(t, "installation of three replicas", "all ready")
		begin := time.Now()
		install(t, mainRelease, append(values, first)...)
		rolledOut(t, mainRelease, 5*time.Minute)
		ready := time.Since(begin)
		eventually(t, "the NodePort answers", time.Minute, func() bool { return certificateOf(t) == serial })
		rate = calibrated(t, url, secret, atMost)
		r.figure("ready after %s; the load is %.1f requests per second", ready.Round(time.Second), rate)
	})
	if t.Failed() {
		return
	}
	t.Run("rotation", func(t *testing.T) {
		values = append(values, second)
		secret = rotation(t, url, ca, key, secret, rate, values)
	})
	t.Run("rolling update and back", func(t *testing.T) {
		r := event(t, "rolling update and back", "0 failed")
		l := steady(t, url, secret, rate)
		begin := time.Now()
		install(t, mainRelease, append(values, "--set=image.tag=cluster2")...)
		rolledOut(t, mainRelease, 5*time.Minute)
		helmRun(t, "rollback", mainRelease)
		rolledOut(t, mainRelease, 5*time.Minute)
		onlyRunning(t, mainRelease, replicas)
		r.figure("%s", time.Since(begin).Round(time.Second))
		l.none(r)
	})
	t.Run("bad", func(t *testing.T) { bad(t, url, secret, rate, values) })
	t.Run("process killed", func(t *testing.T) { processKilled(t, url, secret, rate) })
	t.Run("kubelet and containerd ended", func(t *testing.T) {
		r := event(t, "kubelet and containerd of a node ended", "0 failed")
		l := steady(t, url, secret, rate)
		onNode(t, "node-2", "pkill", "-x", "kubelet")
		onNode(t, "node-2", "pkill", "-x", "containerd")
		begin := time.Now()
		eventually(t, "the kubelet answers", 2*time.Minute, func() bool {
			health, err := kubectlTry(t, "", "get", "--raw", "/api/v1/nodes/node-2/proxy/healthz")
			return err == nil && health == "ok"
		})
		r.figure("the kubelet answers after %s", time.Since(begin).Round(time.Second))
		time.Sleep(10 * time.Second) // containers that it would end would end now
		fullStrength(t, mainRelease, replicas, 3*time.Minute)
		l.none(r)
	})
	t.Run("drain", func(t *testing.T) { drain(t, url, secret, rate) })
	helmRun(t, "uninstall", mainRelease)
}

// rotation replaces the Secrets of certificate and keys and the ConfigMap of definitions, and adds a version of a model, and waits until
// all pods use them.
func rotation(t *testing.T, url string, ca *testenv.CA, key apikey.Key, secret string, rate float64, values []string) (next string) {
	r := event(t, "certificate, keys and a definition changed, and a model version added to the volume", "used without a restart, 0 failed")
	before := uids(readyPods(t, mainRelease))
	l := steady(t, url, secret, rate)
	begin := time.Now()
	fresh, _, next := secrets(t, ca, &key)
	writeModel(t, "2")
	install(t, mainRelease, values...)
	served := eventually(t, "all pods serve version 2", 2*time.Minute, func() bool {
		return !slices.ContainsFunc(readyPods(t, mainRelease), func(p podOf) bool {
			return !strings.Contains(getAt(t, p, "/v1/models/classifier", secret), `"version":"2"`)
		})
	})
	eventually(t, "all pods have the new certificate, keys and definition", 4*time.Minute, func() bool {
		return !slices.ContainsFunc(readyPods(t, mainRelease), func(p podOf) bool {
			return certificateAt(t, p) != fresh || statusAt(t, p, next) == http.StatusUnauthorized ||
				!strings.Contains(getAt(t, p, "/v1/models/"+linkedModel, next), `"labels":["second"`)
		})
	})
	l.key.Store(next)
	time.Sleep(2 * time.Second)
	l.none(r)
	r.figure("version served by all pods after %s", served.Round(time.Second))
	r.figure("certificate, keys and definition in use by all after %s, most of it the kubelet's", time.Since(begin).Round(time.Second))
	if now := uids(readyPods(t, mainRelease)); now != before {
		t.Errorf("other pods than before: %s, then %s", before, now)
	}
	return next
}

// bad tries an image, a model and settings that cannot work, one after another, and takes the last back.
func bad(t *testing.T, url, secret string, rate float64, values []string) {
	r := event(t, "a bad image, model, setting and value", "the old pods serve on, 0 failed; the reason in kubectl describe or Helm's error")
	l := steady(t, url, secret, rate)
	begin := time.Now()
	good := revision(t)
	defer func() {
		if t.Failed() { // for what comes next
			_ = helmTry(t, "rollback", mainRelease, good)
		}
	}()
	before := uids(pods(t, mainRelease))
	// old are the pods of before that have not been ended since.
	old := func() string {
		return uids(slices.DeleteFunc(pods(t, mainRelease), func(p podOf) bool {
			return p.Metadata.DeletionTimestamp != "" || !strings.Contains(before, p.Metadata.UID)
		}))
	}
	for _, test := range []struct{ name, set, reason string }{
		{"image", "image.tag=missing", "ErrImageNeverPull"},
		{"model", "config.inference.models={other:required},config.inference.default=other", "no such model: other"},
		{"setting that the server refuses", "config.http.body_budget=1", "FOVEA_HTTP_BODY_BUDGET: 1 is less than"},
	} {
		install(t, mainRelease, append(slices.Clone(values), "--set="+test.set)...)
		took := eventually(t, "the reason is shown", 2*time.Minute, func() bool { return strings.Contains(reasons(t, mainRelease), test.reason) })
		if now := old(); now != before {
			t.Errorf("%s: of the pods %s there are %s", test.name, before, now)
		}
		r.figure("%s: shown after %s", test.name, took.Round(time.Second))
	}
	err := helmTry(t, append(append([]string{"upgrade", mainRelease, "fovea"}, common...), "--set=config.http.listen=x")...)
	if err == nil || !strings.Contains(err.Error(), "listen") {
		t.Errorf("a value that does not exist: %v", err)
	}
	helmRun(t, "rollback", mainRelease, good)
	rolledOut(t, mainRelease, 3*time.Minute)
	onlyRunning(t, mainRelease, replicas)
	if now := uids(readyPods(t, mainRelease)); now != before {
		t.Errorf("after the rollback %s are ready, not %s", now, before)
	}
	r.figure("all of it and the rollback: %s", time.Since(begin).Round(time.Second))
	l.none(r)
}

// revision is the current one of the main release.
func revision(t *testing.T) string {
	t.Helper()
	out, errs, err := run(t, nil, program(t, "FOVEA_TEST_HELM"), "--namespace="+space, "history", mainRelease, "--max=1", "--output=json")
	var list []struct{ Revision int }
	if err == nil {
		err = json.Unmarshal([]byte(out), &list)
	}
	if err != nil || len(list) != 1 {
		t.Fatalf("helm history: %v: %s%s", err, out, errs)
	}
	return strconv.Itoa(list[0].Revision)
}

// uids identifies pods.
func uids(list []podOf) string {
	var ids []string
	for _, p := range list {
		ids = append(ids, p.Metadata.UID)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// reasons is what kubectl describe says about the pods of a release. It fails if one of them ends meanwhile: nothing, then.
func reasons(t *testing.T, release string) string {
	t.Helper()
	text, err := kubectlTry(t, "", "describe", "pods", "-l", "app.kubernetes.io/instance="+release)
	if err != nil {
		t.Log(err)
	}
	return text
}

// processKilled ends the server of one pod at once.
func processKilled(t *testing.T, url, secret string, rate float64) {
	r := event(t, "server killed with SIGKILL", "only requests of that pod, until Kubernetes notices")
	victim := readyPods(t, mainRelease)[0]
	restarts := victim.Status.ContainerStatuses[0].RestartCount
	l := steady(t, url, secret, rate)
	time.Sleep(3 * time.Second)
	if err := syscall.Kill(serverOf(t, victim), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	noticed := eventually(t, "Kubernetes has noticed", time.Minute, func() bool {
		return slices.ContainsFunc(pods(t, mainRelease), func(p podOf) bool {
			return p.Metadata.UID == victim.Metadata.UID && (!p.ready() || p.Status.ContainerStatuses[0].RestartCount > restarts)
		})
	})
	took := noticed + fullStrength(t, mainRelease, replicas, 3*time.Minute)
	time.Sleep(3 * time.Second)
	r.figure("noticed after %s, full strength after %s", noticed.Round(time.Second/10), took.Round(time.Second))
	// The container has started again before Kubernetes knows, and says 503 until its models are loaded.
	l.lost(r, begin.Add(noticed), "503 ")
}

// serverOf is the process of a pod's server, which is one of this machine, too.
func serverOf(t *testing.T, p podOf) int {
	t.Helper()
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range groups {
		group, err := os.ReadFile(path)
		name, err2 := os.ReadFile(filepath.Join(filepath.Dir(path), "comm"))
		if err != nil || err2 != nil || !strings.Contains(string(group), p.Metadata.UID) || strings.TrimSpace(string(name)) != "serve" {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	t.Fatalf("found no server of pod %s", p.Metadata.Name)
	return 0
}

// drain drains the node that has most of the pods.
func drain(t *testing.T, url, secret string, rate float64) {
	r := event(t, "drain of a node, with the PodDisruptionBudget", "0 failed")
	node, most := "", 0
	for _, name := range []string{"node-1", "node-2"} {
		if n := len(on(readyPods(t, mainRelease), name)); n > most {
			node, most = name, n
		}
	}
	l := steady(t, url, secret, rate)
	begin := time.Now()
	t.Cleanup(func() {
		// t's context has ended.
		_ = exec.Command("kubectl", "uncordon", node).Run()
	})
	kubectl(t, "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=4m")
	drained := time.Since(begin)
	onlyRunning(t, mainRelease, replicas)
	r.figure("%d of %d pods moved in %s", most, replicas, drained.Round(time.Second))
	l.none(r)
}

// kit runs a program of the cluster kit.
func kit(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, errs, err := run(t, nil, filepath.Join(program(t, "FOVEA_TEST_CLUSTER"), name), args...); err != nil {
		t.Fatalf("%s %q: %v: %s%s", name, args, err, out, errs)
	}
}

func onNode(t *testing.T, node string, command ...string) {
	t.Helper()
	kit(t, "in", append([]string{"--node", node}, command...)...)
}

// certificateOf is the serial number of the certificate at the NodePort; empty without one.
func certificateOf(t *testing.T) string {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	connection, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", nodePort(eventsPort)))
	if err != nil {
		return ""
	}
	defer connection.Close()
	return connection.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// curlAt asks a pod, whose address exists in the cluster's network only.
func curlAt(t *testing.T, args ...string) string {
	t.Helper()
	out, _, err := run(t, nil, filepath.Join(program(t, "FOVEA_TEST_CLUSTER"), "in"), append([]string{"curl", "--silent", "--insecure", "--max-time", "5"}, args...)...)
	if err != nil {
		return ""
	}
	return out
}

func getAt(t *testing.T, p podOf, path, secret string) string {
	return curlAt(t, "-H", "X-API-Key: "+secret, "https://"+p.Status.PodIP+":8000"+path)
}

func statusAt(t *testing.T, p podOf, secret string) int {
	var status int
	text := curlAt(t, "-o", "/dev/null", "-w", "%{http_code}", "-H", "X-API-Key: "+secret, "https://"+p.Status.PodIP+":8000/v1/models")
	if _, err := fmt.Sscan(text, &status); err != nil {
		return http.StatusUnauthorized
	}
	return status
}

// certificateAt is the serial number of a pod's certificate.
func certificateAt(t *testing.T, p podOf) string {
	out, _, err := run(t, nil, filepath.Join(program(t, "FOVEA_TEST_CLUSTER"), "in"), "sh", "-c",
		"openssl s_client -connect "+p.Status.PodIP+":8000 </dev/null 2>/dev/null | openssl x509 -noout -serial")
	if err != nil {
		return ""
	}
	n, ok := new(big.Int).SetString(strings.TrimPrefix(strings.TrimSpace(out), "serial="), 16)
	if !ok {
		return ""
	}
	return n.String()
}

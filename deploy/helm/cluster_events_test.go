//go:build cluster

package helm

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fovea/internal/testenv"
)

const (
	mainRelease = "main" // what the events happen to
	replicas    = 3
	rate        = 10 // requests per second: the machine's cores are shared by all nodes and the control plane
)

// lossNoticed is how long requests may fail after a node is lost: the node monitor's grace period (50 s), the time until all proxies
// know, and what clients wait.
const lossNoticed = 90*time.Second + requestTimeout

// TestEvents sends a steady load while what happens in a cluster happens. The events share one release, in this order.
func TestEvents(t *testing.T) {
	prepare(t)
	helmRun(t, "uninstall", "--ignore-not-found", "--wait", mainRelease)
	if err := os.RemoveAll(filepath.Join(models, "classifier/2")); err != nil {
		t.Fatal(err)
	}
	ca := testenv.NewCA(t)
	serial, key, secret := secrets(t, ca, nil)
	secured := []string{fmt.Sprintf("--set=replicas=%d", replicas), atNodePort(eventsPort),
		"--set=tls.secretName=fovea-tls,keys.secretName=fovea-keys", "--set=image.tag=cluster"}
	begin := time.Now()
	install(t, mainRelease, secured...)
	rolledOut(t, mainRelease, 5*time.Minute)
	t.Logf("FIGURE installation of %d replicas: ready after %s", replicas, time.Since(begin).Round(time.Second))
	url := address("https", eventsPort)
	eventually(t, "the NodePort answers", time.Minute, func() bool { return certificateOf(t) == serial })

	t.Run("rolling update and back", func(t *testing.T) {
		l := steady(t, url, secret, rate)
		install(t, mainRelease, append(secured, "--set=image.tag=cluster2")...)
		rolledOut(t, mainRelease, 5*time.Minute)
		helmRun(t, "rollback", mainRelease)
		rolledOut(t, mainRelease, 5*time.Minute)
		l.none("rolling update and back")
	})
	t.Run("certificate and keys rotated", func(t *testing.T) {
		l := steady(t, url, secret, rate)
		fresh, _, next := secrets(t, ca, &key)
		took := eventually(t, "all pods have the new certificate and keys", 4*time.Minute, func() bool {
			for _, p := range readyPods(t, mainRelease) {
				if certificateAt(t, p) != fresh || statusAt(t, p, next) == http.StatusUnauthorized {
					return false
				}
			}
			return true
		})
		l.key.Store(next)
		time.Sleep(2 * time.Second)
		secret = next
		l.none("certificate and keys rotated")
		t.Logf("FIGURE rotation: in use by all pods after %s", took.Round(time.Second))
	})
	t.Run("model version added", func(t *testing.T) {
		l := steady(t, url, secret, rate)
		writeModel(t, "2")
		took := eventually(t, "all pods serve version 2", 2*time.Minute, func() bool {
			for _, p := range readyPods(t, mainRelease) {
				if !strings.Contains(getAt(t, p, "/v1/models/classifier", secret), `"version":"2"`) {
					return false
				}
			}
			return true
		})
		time.Sleep(2 * time.Second)
		l.none("model version added")
		t.Logf("FIGURE model version: served by all pods after %s", took.Round(time.Second))
	})
	t.Run("what is bad leaves the old pods", func(t *testing.T) { bad(t, url, secret, secured) })
	t.Run("node drained", func(t *testing.T) {
		l := steady(t, url, secret, rate)
		begin := time.Now()
		kubectl(t, "drain", "node-2", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=4m")
		took := time.Since(begin)
		fullStrength(t, mainRelease, replicas, 3*time.Minute)
		l.none("node drained")
		t.Logf("FIGURE drain: %s", took.Round(time.Second))
		kubectl(t, "uncordon", "node-2")
		kubectl(t, "rollout", "restart", "deployment/"+mainRelease+"-fovea") // pods on both nodes again
		rolledOut(t, mainRelease, 5*time.Minute)
	})
	t.Run("process killed", func(t *testing.T) {
		l := steady(t, url, secret, rate)
		time.Sleep(3 * time.Second)
		onNode(t, "node-2", "sh", "-c", "kill -9 $(pgrep -x serve | head -1)")
		eventually(t, "Kubernetes has noticed", time.Minute, func() bool { return len(readyPods(t, mainRelease)) < replicas })
		took := fullStrength(t, mainRelease, replicas, 3*time.Minute)
		lostOnly(t, l, "process killed", 5*time.Second)
		t.Logf("FIGURE process killed: full strength after %s", took.Round(time.Second))
	})
	t.Run("kubelet and containerd ended", func(t *testing.T) {
		l := steady(t, url, secret, rate)
		onNode(t, "node-2", "pkill", "-x", "kubelet")
		onNode(t, "node-2", "pkill", "-x", "containerd")
		time.Sleep(20 * time.Second)
		fullStrength(t, mainRelease, replicas, 3*time.Minute)
		l.none("kubelet and containerd ended")
	})
	t.Run("node cut off", func(t *testing.T) {
		l := steady(t, url, secret, rate)
		kit(t, "in", "ip", "link", "set", "node-2", "down")
		took := withoutNode(t)
		lostOnly(t, l, "node cut off", lossNoticed)
		t.Logf("FIGURE node cut off: full strength after %s", took.Round(time.Second))
		kit(t, "in", "ip", "link", "set", "node-2", "up")
		kubectl(t, "wait", "--for=condition=Ready", "node/node-2", "--timeout=2m")
	})
	t.Run("node killed", func(t *testing.T) {
		kubectl(t, "rollout", "restart", "deployment/"+mainRelease+"-fovea")
		rolledOut(t, mainRelease, 5*time.Minute)
		l := steady(t, url, secret, rate)
		killNode(t, "node-2")
		took := withoutNode(t)
		lostOnly(t, l, "node killed", lossNoticed)
		t.Logf("FIGURE node killed: full strength after %s", took.Round(time.Second))
		kit(t, "up")
		kubectl(t, "wait", "--for=condition=Ready", "node/node-2", "--timeout=2m")
	})
	helmRun(t, "uninstall", mainRelease, "--wait")
}

// withoutNode waits until Kubernetes has noticed the loss of node-2 and replaced its pods, and returns how long both took.
func withoutNode(t *testing.T) time.Duration {
	t.Helper()
	return eventually(t, "full strength on the other node", 4*time.Minute, func() bool {
		n := 0
		for _, p := range readyPods(t, mainRelease) {
			if p.Spec.NodeName == "node-1" {
				n++
			}
		}
		return n == replicas
	})
}

// lostOnly ends a load that may lose requests while a loss goes unnoticed.
func lostOnly(t *testing.T, l *load, event string, noticed time.Duration) {
	t.Helper()
	if _, span := l.result(event); span > noticed {
		t.Errorf("%s: requests failed over %s, longer than the loss went unnoticed", event, span)
	}
}

// bad tries an image, a model and values that cannot work.
func bad(t *testing.T, url, secret string, secured []string) {
	l := steady(t, url, secret, rate)
	for name, test := range map[string]struct{ set, reason string }{
		"image":                      {"image.tag=missing", "ErrImageNeverPull"},
		"model":                      {"config.inference.models={missing:required}", "no such model"},
		"setting the server refuses": {"config.http.body_budget=1", "FOVEA_HTTP_BODY_BUDGET: 1 is less"},
	} {
		t.Run(name, func(t *testing.T) {
			install(t, mainRelease, append(secured, "--set="+test.set)...)
			eventually(t, "the reason is shown", 2*time.Minute, func() bool { return strings.Contains(reasons(t), test.reason) })
			if n := len(readyPods(t, mainRelease)); n < replicas {
				t.Errorf("only %d old pods serve on", n)
			}
			helmRun(t, "rollback", mainRelease)
			rolledOut(t, mainRelease, 3*time.Minute)
		})
	}
	t.Run("value", func(t *testing.T) {
		err := helmTry(t, append(append([]string{"upgrade", mainRelease, "fovea"}, common...), "--set=config.http.listen=x")...)
		if err == nil || !strings.Contains(err.Error(), "listen") {
			t.Errorf("%v", err)
		}
	})
	l.none("bad image, model and values")
}

// reasons is what kubectl describe says about the pods.
func reasons(t *testing.T) string {
	t.Helper()
	return kubectl(t, "describe", "pods", "-l", "app.kubernetes.io/instance="+mainRelease)
}

// kit runs a program of the cluster kit.
func kit(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, errs, err := run(t, nil, filepath.Join(program(t, "FOVEA_TEST_CLUSTER"), name), args...); err != nil {
		t.Fatalf("%s %q: %v: %s%s", name, args, err, out, errs)
	}
}

// killNode ends all of a node at once.
func killNode(t *testing.T, node string) {
	t.Helper()
	pid, err := os.ReadFile(filepath.Join("/run/cluster/nodes", node))
	if err != nil {
		t.Fatal(err)
	}
	if out, errs, err := run(t, nil, "/bin/kill", "-9", strings.TrimSpace(string(pid))); err != nil {
		t.Fatalf("kill %s: %v: %s%s", node, err, out, errs)
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
	connection, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", eventsPort))
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

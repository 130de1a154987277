//go:build cluster

package helm

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ofNode is the load of a release that loses a node, in requests per second, at most.
const ofNode = 5

// nodeCutOff cuts node-2 off the network. Its pods run on, out of sight.
func nodeCutOff(t *testing.T) {
	loseNode(t, "cut", "node cut off", "node-2", cutPort, func() { kit(t, "in", "ip", "link", "set", "node-2", "down") })
	kit(t, "in", "ip", "link", "set", "node-2", "up")
	kubectl(t, "wait", "--for=condition=Ready", "node/node-2", "--timeout=3m")
}

// nodeKilled ends all processes of node-3 at once. The kit's up would start it again.
func nodeKilled(t *testing.T) {
	loseNode(t, "killed", "node killed", "node-3", killedPort, func() {
		text, err := os.ReadFile(filepath.Join("/run/cluster/nodes", "node-3"))
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	})
}

// loseNode installs a release with a replica on node-1, which the load comes through, and one on another node, and strikes that.
func loseNode(t *testing.T, release, name, node string, port int, strike func()) {
	t.Helper()
	const want = 2
	install(t, release, "--set=image.tag=cluster", fmt.Sprintf("--set=replicas=%d", want), atNodePort(port), onNodes("node-1", node))
	rolledOut(t, release, 5*time.Minute)
	url := address("http", port)
	answering(t, url)
	if len(on(readyPods(t, release), node)) == 0 {
		t.Fatalf("no pod of %s is on %s", release, node)
	}
	r := event(t, name, "only requests of its pods, until Kubernetes notices")
	rate := calibrated(t, url, "", ofNode)
	l := steady(t, url, "", rate)
	time.Sleep(3 * time.Second)
	begin := time.Now()
	strike()
	noticed := eventually(t, "Kubernetes has noticed", 4*time.Minute, func() bool { return len(on(readyPods(t, release), node)) == 0 })
	took := noticed + eventually(t, "full strength on the other node", 4*time.Minute, func() bool { return len(on(readyPods(t, release), "node-1")) == want })
	r.figure("%.1f requests per second; noticed after %s, full strength after %s", rate, noticed.Round(time.Second), took.Round(time.Second))
	l.lost(r, begin.Add(noticed))
	helmRun(t, "uninstall", release)
}

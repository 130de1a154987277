//go:build cluster

package helm

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestAutoscaling multiplies a load by four: pods are added by the queue's depth, and none is lost on the way down. A pod has a fifth of
// a core, so that the machine's cores are enough for all of them.
func TestAutoscaling(t *testing.T) {
	const release, bound = "scaled", 2 * time.Second
	prepare(t)
	install(t, release, fmt.Sprintf("--set=image.tag=cluster,service.type=NodePort,service.nodePort=%d", nodePort),
		"--set=resources.limits.cpu=200m", "--set=autoscaling.enabled=true,autoscaling.minReplicas=1,autoscaling.maxReplicas=6,autoscaling.queueDepth=1",
		"--set=autoscaling.scaleDown.stabilizationSeconds=15,autoscaling.scaleDown.percent=50,autoscaling.scaleDown.periodSeconds=15")
	rolledOut(t, release, 3*time.Minute)
	answers(t, address("http"))
	base := capacity(t) / 2
	quiet := steady(t, address("http"), "", base)
	time.Sleep(30 * time.Second)
	quiet.none("load before the step")
	if n := len(readyPods(t, release)); n != 1 {
		t.Errorf("%d pods for a load below one's capacity", n)
	}
	l := steady(t, address("http"), "", 4*base)
	added := eventually(t, "a pod is added", time.Minute, func() bool { return len(pods(t, release)) > 1 })
	back := eventually(t, "p99 is back under its bound", 4*time.Minute, func() bool {
		l.window()
		time.Sleep(10 * time.Second)
		return l.p99() > 0 && l.p99() < bound
	})
	most := len(readyPods(t, release))
	l.none("load × 4")
	l = steady(t, address("http"), "", base)
	down := eventually(t, "pods are removed", 5*time.Minute, func() bool { return len(pods(t, release)) < most })
	l.none("on the way down")
	t.Logf("FIGURE load × 4 (%.1f to %.1f per second): a pod added after %s, p99 under %s after %s with %d pods, fewer after %s", base, 4*base,
		added.Round(time.Second), bound, (added + back).Round(time.Second), most, down.Round(time.Second))
	helmRun(t, "uninstall", release, "--wait")
}

// capacity is how many requests per second one client gets answered one after another.
func capacity(t *testing.T) float64 {
	t.Helper()
	l := client(t, address("http"), "")
	begin, n := time.Now(), 0
	for ; time.Since(begin) < 5*time.Second; n++ {
		if failure := l.predict(l.kept); failure != "" {
			t.Fatal(failure)
		}
	}
	return float64(n) / time.Since(begin).Seconds()
}

// TestManyReleases: with 200 nodes and 50 releases, an upgrade of one of them takes as long as ever, and a release has as many objects.
func TestManyReleases(t *testing.T) {
	const releases = 50
	prepare(t)
	kit(t, "up", "--fake", "200")
	fake := []string{"--set=image.tag=cluster,replicas=4", "--set=nodeSelector.type=kwok", "--set=models.from=image",
		"--set=tolerations[0].key=kwok.x-k8s.io/node,tolerations[0].operator=Exists"}
	begin := time.Now()
	for i := range releases {
		install(t, fmt.Sprintf("r%d", i), append(fake, "--set=fullnameOverride="+fmt.Sprintf("r%d", i))...)
	}
	installed := time.Since(begin)
	objects := func(release string) int {
		text := kubectl(t, "get", "deployment,service,serviceaccount,configmap,poddisruptionbudget,networkpolicy", "-l", "app.kubernetes.io/instance="+release, "-o", "name")
		return len(strings.Fields(text))
	}
	first, last := objects("r0"), objects(fmt.Sprintf("r%d", releases-1))
	begin = time.Now()
	helmRun(t, append(append([]string{"upgrade", "r7", "fovea", "--wait", "--set=fullnameOverride=r7", "--set=config.http.max_images=32"}, common...), fake...)...)
	upgraded := time.Since(begin)
	t.Logf("FIGURE 200 fake nodes, %d releases: installed in %s, one upgraded in %s; %d objects per release", releases, installed.Round(time.Second), upgraded.Round(time.Second), first)
	if upgraded > time.Minute || first != last || first != 5 {
		t.Errorf("upgrade in %s; %d objects, then %d", upgraded, first, last)
	}
	for i := range releases {
		helmRun(t, "uninstall", fmt.Sprintf("r%d", i))
	}
}

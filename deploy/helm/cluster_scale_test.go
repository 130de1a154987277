//go:build cluster

package helm

import (
	"sync"
	"testing"
	"time"
)

// autoscaling multiplies a load by four: pods are added by the queue's depth, the latency comes back to what it was, and nothing is lost
// on the way down. A pod has a tenth of a core, so that the machine's cores are enough for all of them. Load and bound follow from what
// one pod does here and now: the load before the step is two fifths of what it can do at most, and the bound twice its p99 then.
func autoscaling(t *testing.T) {
	const release, window = "scaled", 20 * time.Second
	values := []string{"--set=image.tag=cluster", atNodePort(scaledPort), "--set=resources.limits.cpu=100m,replicas=1", onNodes("node-1", "node-2")}
	install(t, release, values...)
	rolledOut(t, release, 3*time.Minute)
	url := address("http", scaledPort)
	answering(t, url)
	r := event(t, "load × 4 in a step", "a pod added within 60 s, p99 back under twice that before the step, none lost on the way down")
	most := capacity(t)
	base := 0.4 * most
	l := random(t, url, base)
	time.Sleep(30 * time.Second)
	l.end()
	before := p99(l.answers)
	if failed := failures(l.answers); len(failed) > 0 {
		t.Fatalf("%d of %d requests failed before the step, such as with %s", len(failed), len(l.answers), failed[0].failure)
	}
	r.figure("one pod does %.1f requests per second; p99 at %.1f: %s", most, base, before.Round(time.Millisecond))

	install(t, release, append(values, "--set=autoscaling.enabled=true,autoscaling.minReplicas=1,autoscaling.maxReplicas=6,autoscaling.queueDepth=1",
		"--set=autoscaling.scaleDown.stabilizationSeconds=30,autoscaling.scaleDown.percent=50,autoscaling.scaleDown.periodSeconds=15")...)
	l = random(t, url, 4*base)
	added := eventually(t, "a pod is added", time.Minute, func() bool { return len(pods(t, release)) > 1 })
	back := eventually(t, "p99 is back under its bound", 4*time.Minute, func() bool {
		recent := l.since(time.Now().Add(-window))
		return len(readyPods(t, release)) > 1 && len(failures(recent)) == 0 && p99(recent) < 2*before
	})
	reached, at := len(readyPods(t, release)), p99(l.since(time.Now().Add(-window)))
	for _, a := range l.result(r) {
		if !a.status {
			t.Errorf("load × 4: lost rather than refused: %s", a.failure)
		}
	}
	r.figure("at %.1f per second a pod added after %s, p99 %s after %s with %d pods", 4*base, added.Round(time.Second), at.Round(time.Millisecond),
		(added + back).Round(time.Second), reached)

	l = random(t, url, base)
	down := eventually(t, "pods are removed", 5*time.Minute, func() bool { return len(pods(t, release)) < reached })
	l.end()
	if failed := failures(l.answers); len(failed) > 0 {
		t.Errorf("%d of %d requests failed on the way down, such as with %s", len(failed), len(l.answers), failed[0].failure)
	}
	r.figure("on the way down none of %d failed, fewer pods after %s", len(l.answers), down.Round(time.Second))
	helmRun(t, "uninstall", release)
}

// capacity is how many requests per second the release does at most, which three clients at a time show.
func capacity(t *testing.T) float64 {
	t.Helper()
	const warm, span = 2 * time.Second, 10 * time.Second
	l := client(t, address("http", scaledPort), "")
	begin := time.Now()
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			for time.Since(begin) < warm+span {
				l.send(l.kept)
			}
		})
	}
	clients.Wait()
	answers := l.since(begin.Add(warm))
	if failed := failures(answers); len(failed) > 0 {
		t.Fatalf("%d requests failed, such as with %s", len(failed), failed[0].failure)
	}
	return float64(len(answers)) / (time.Since(begin) - warm).Seconds()
}

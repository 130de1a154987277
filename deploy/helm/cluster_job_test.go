//go:build cluster

package helm

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// measuredRelease is a release that is measured, and that has no pods for a while.
func measuredRelease(t *testing.T) {
	const release = "measured"
	install(t, release, "--set=image.tag=cluster,replicas=1", atNodePort(measuredPort), onNodes("node-3"))
	rolledOut(t, release, 5*time.Minute)
	t.Run("limits", func(t *testing.T) { limitsAreSeen(t, release) })
	t.Run("job", func(t *testing.T) { jobReports(t, release) })
	t.Run("from zero", func(t *testing.T) { fromZero(t, release) })
	helmRun(t, "uninstall", release)
}

// limitsAreSeen: a pod with a limit of one core and 512Mi has Go's processors and memory limit follow from these, whatever the node has.
func limitsAreSeen(t *testing.T, release string) {
	r := event(t, "a pod's limits: one core, 512Mi", "Go's processors and memory follow them, not the node")
	metrics := curlAt(t, "http://"+readyPods(t, release)[0].Status.PodIP+":8000/metrics")
	value := func(name string) float64 {
		_, rest, _ := strings.Cut(metrics, "\n"+name+" ")
		line, _, _ := strings.Cut(rest, "\n")
		v, err := strconv.ParseFloat(line, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return v
	}
	processors, memory := value("go_sched_gomaxprocs_threads"), value("go_gc_gomemlimit_bytes")
	// One more than cores, for what waits in C.
	if processors != 2 || memory <= 0 || memory >= 512<<20 {
		t.Errorf("%v processors, %v bytes of memory", processors, memory)
	}
	r.figure("%v processors on a node of %d cores, a memory limit of %.0f MiB for Go", processors, runtime.NumCPU(), memory/(1<<20))
}

// jobReports runs the Job of the load test: it succeeds with the report as its log, and fails with a threshold that no server keeps. The
// cluster has no DNS, so that the Job gets the Service's address.
func jobReports(t *testing.T, release string) {
	r := event(t, "the load test as a Job", "succeeds with the report as its log; fails if a threshold is missed")
	service := kubectl(t, "get", "service", release+"-fovea", "-o", "jsonpath={.spec.clusterIP}")
	manifest, err := os.ReadFile("../kubernetes/loadtest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[string]string{"20s": "Complete", "1ms": "Failed"} {
		name := "loadtest-" + limit
		kubectl(t, "delete", "job", name, "--ignore-not-found")
		apply(t, replaced(t, string(manifest), "name: fovea-loadtest\nspec", "name: "+name+"\nspec", "http://fovea:8000", "http://"+service+":8000",
			"--concurrency=1,4,16", "--concurrency=1", "--max-p99=2s", "--max-p99="+limit+"\n            - --window=2s\n            - --max-windows=5"))
		begin := time.Now()
		conditions := func() string {
			return kubectl(t, "get", "job", name, "-o", `jsonpath={.status.conditions[?(@.status=="True")].type}`)
		}
		eventually(t, name+" ends", 3*time.Minute, func() bool {
			return strings.Contains(conditions(), "Complete") || strings.Contains(conditions(), "Failed")
		})
		took := time.Since(begin)
		ended := conditions()
		log := kubectl(t, "logs", "job/"+name)
		if !strings.Contains(ended, want) || !strings.Contains(log, "p99") {
			t.Errorf("with p99 of at most %s the Job is %s; want %s. Its log: %s", limit, ended, want, log)
		}
		r.figure("with p99 of at most %s: %s after %s", limit, want, took.Round(time.Second))
	}
}

// fromZero removes all pods of a release and measures how long the first request waits once one is wanted again: for what Kubernetes and
// the server do, beyond the autoscaler's own interval.
func fromZero(t *testing.T, release string) {
	r := event(t, "from no pod to the first answer", "stated")
	scale := func(n string) { kubectl(t, "scale", "deployment/"+release+"-fovea", "--replicas="+n) }
	scale("0")
	eventually(t, "no pods", 2*time.Minute, func() bool { return len(pods(t, release)) == 0 })
	begin := time.Now()
	scale("1")
	l := client(t, address("http", measuredPort), "")
	eventually(t, "the first answer", 2*time.Minute, func() bool {
		failure, _ := l.predict(l.fresh)
		return failure == ""
	})
	r.figure("%s, with the image on the node", time.Since(begin).Round(time.Second/10))
}

// replaced replaces words of a text, each of which must be there.
func replaced(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%q is not in\n%s", pairs[i], text)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

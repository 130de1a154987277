//go:build cluster

package helm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// many is the name space of the releases on fake nodes.
const many = "fovea-many"

// onFakeNodes are the values of a release whose pods run on fake nodes, which say that they run.
var onFakeNodes = []string{"--namespace=" + many, "--set=image.tag=cluster,replicas=2", "--set=nodeSelector.type=kwok", "--set=models.from=image",
	"--set=tolerations[0].key=kwok.x-k8s.io/node,tolerations[0].operator=Exists"}

// manyReleases: with 200 nodes and 50 releases, an upgrade of one of them takes as long as ever, and a release has as many objects. Then
// devices by dynamic resource allocation.
func manyReleases(t *testing.T) {
	kit(t, "up", "--nodes", "3", "--fake", "200")
	kubectl(t, "create", "namespace", many)
	playKubelets(t)
	t.Run("upgrade", upgradeAmongMany)
	t.Run("devices", devices)
	kubectl(t, "delete", "namespace", many, "--wait=false")
}

// named are the values of one of many releases.
func named(i int) (name string, values []string) {
	name = fmt.Sprintf("r%d", i)
	return name, append(onFakeNodes, "--set=fullnameOverride="+name)
}

func upgradeAmongMany(t *testing.T) {
	const releases, workers = 50, 3
	upgrade := func(i int) time.Duration {
		begin := time.Now()
		name, values := named(i)
		install(t, name, append(values, "--set=config.http.max_images=32", "--wait")...)
		return time.Since(begin)
	}
	r := event(t, "200 fake nodes, 50 releases", "helm upgrade of one within 60 s; objects per release constant")
	name, values := named(0)
	install(t, name, append(values, "--wait")...)
	alone, first := upgrade(0), objectsOf(t, name)
	begin := time.Now()
	var installers sync.WaitGroup
	failed := make(chan error, releases)
	for w := range workers {
		installers.Go(func() {
			for i := 1 + w; i < releases; i += workers {
				name, values := named(i)
				if err := helmTry(t, slices.Concat([]string{"install", name, "fovea"}, common, values)...); err != nil {
					failed <- err
				}
			}
		})
	}
	installers.Wait()
	if close(failed); len(failed) > 0 {
		t.Fatal(<-failed)
	}
	installed := time.Since(begin)
	kubectl(t, "--namespace="+many, "wait", "--for=condition=Available", "deployment", "--all", "--timeout=4m")
	name, _ = named(releases - 1)
	last, among := objectsOf(t, name), upgrade(7)
	r.figure("installed in %s; helm upgrade --wait of one takes %s, %s when it is alone; %d objects per release", installed.Round(time.Second),
		among.Round(time.Second), alone.Round(time.Second), first)
	if among > time.Minute || first != last || first != 5 {
		t.Errorf("upgrade in %s; %d objects, then %d", among, first, last)
	}
}

// playKubelets does what a kubelet does and KWOK does not, until the test ends: on a busy machine the fake nodes report late, Kubernetes
// then takes their pods for not ready, and a kubelet that is there again says that they are ready.
func playKubelets(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var player sync.WaitGroup
	player.Go(func() {
		for ctx.Err() == nil {
			text, _ := kubectlTry(t, "", "--namespace="+many, "get", "pods", "--field-selector=status.phase=Running", "-o", "json")
			var answer struct{ Items []podOf }
			_ = json.Unmarshal([]byte(text), &answer) // nothing, if kubectl failed
			for _, p := range answer.Items {
				if p.Metadata.DeletionTimestamp == "" && !p.ready() {
					_, _ = kubectlTry(t, "", "--namespace="+many, "patch", "pod", p.Metadata.Name, "--subresource=status",
						`--patch={"status":{"conditions":[{"type":"Ready","status":"True"}]}}`)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(3 * time.Second):
			}
		}
	})
	t.Cleanup(func() {
		stop()
		player.Wait()
	})
}

// objectsOf counts what a release has made itself.
func objectsOf(t *testing.T, release string) int {
	t.Helper()
	const kinds = "deployment,service,serviceaccount,configmap,secret,poddisruptionbudget,networkpolicy,horizontalpodautoscaler,resourceclaimtemplate"
	return len(strings.Fields(kubectl(t, "--namespace="+many, "get", kinds, "-l", "app.kubernetes.io/instance="+release+",app.kubernetes.io/managed-by=Helm", "-o", "name")))
}

// devices: with dynamic resource allocation, the scheduler gives each pod a device of the node's driver, also in a rollout while all are
// taken. The devices are those that a driver would publish; no driver prepares them, as the node is a fake one.
func devices(t *testing.T) {
	r := event(t, "rollout with all devices taken, by dynamic resource allocation on a fake node", "each pod has its own device; goes through")
	apply(t, `
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu.nvidia.com}
spec: {selectors: [{cel: {expression: 'device.driver == "gpu.nvidia.com"'}}]}
---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: fake-1-gpu.nvidia.com}
spec:
  driver: gpu.nvidia.com
  nodeName: fake-1
  pool: {name: fake-1, generation: 1, resourceSliceCount: 1}
  devices:
    - {name: gpu-0, attributes: {productName: {string: NVIDIA L4}}}
    - {name: gpu-1, attributes: {productName: {string: NVIDIA L4}}}
    - {name: gpu-2, attributes: {productName: {string: NVIDIA T4}}}
`)
	values := append(onFakeNodes, "--set=replicas=2,gpu.enabled=true,gpu.claim.enabled=true", "--wait",
		`--set-json=gpu.claim.selectors=["device.attributes[\"gpu.nvidia.com\"].productName == \"NVIDIA L4\""]`)
	for _, change := range []string{"config.http.max_images=16", "config.http.max_images=32"} {
		install(t, "devices", append(values, "--set="+change)...)
		eventually(t, "each pod has its own device", time.Minute, func() bool {
			taken := strings.Fields(kubectl(t, "--namespace="+many, "get", "resourceclaims", "-o", "jsonpath={.items[*].status.allocation.devices.results[*].device}"))
			return slices.Equal(slices.Sorted(slices.Values(taken)), []string{"gpu-0", "gpu-1"})
		})
	}
	r.figure("two pods on the two devices that the selector allows")
}

//go:build chart

package helm

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestChartRefuses: what cannot work is refused before anything is installed, with the value that is wrong.
func TestChartRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		set  string // values, separated by commas
		want string
	}{
		"an unknown value":                        {"replica=3", "replica"},
		"an unknown key of the server":            {"config.http.listen=x", "listen"},
		"a key of the server that the chart sets": {"config.http.address=:9000", "address"},
		"the grace period by itself":              {"terminationGracePeriodSeconds=30", "terminationGracePeriodSeconds"},
		"a number out of the server's range":      {"config.http.max_images=0", "max_images"},
		"a duration without a unit":               {"config.http.timeout=10", "timeout"},
		"a delay of an hour":                      {"shutdown.delaySeconds=3600", "delaySeconds"},
		"a strategy that replaces nothing":        {"strategy.maxSurge=0,strategy.maxUnavailable=0", "must not both be 0"},
		"both autoscalers":                        {"autoscaling.enabled=true,keda.enabled=true,keda.prometheusAddress=http://p", "not"},
		"fewer replicas at most than at least":    {"autoscaling.maxReplicas=1", "must not be below"},
		"KEDA without Prometheus":                 {"keda.enabled=true", "prometheusAddress"},
		"no limit of memory":                      {"resources.limits.memory=null", "memory"},
		"two slices of a shared GPU":              {"gpu.enabled=true,gpu.resource=nvidia.com/gpu.shared,gpu.count=2", "must be 1"},
		"a GPU that the server may do without":    {"gpu.enabled=true,gpu.device=auto", "device"},
		"a GPU without a vendor":                  {"gpu.enabled=true,gpu.resource=gpu", "resource"},
		"mTLS without TLS":                        {"tls.clientCA.secretName=x", "clientCA"},
		"a claim without a name":                  {"models.from=claim", "name"},
		"a pull of nothing":                       {"models.from=pull,networkPolicy.enabled=false", "names"},
		"a pull without a way out":                {"models.from=pull,models.pull.names={a}", "networkPolicy.publicPorts"},
		"images by URL without a way out":         {"config.http.image_urls.hosts={a.example}", "image_urls.hosts needs networkPolicy.publicPorts"},
		"traces without a way out":                {"config.traces.endpoint=http://tempo:4318", "traces.endpoint needs networkPolicy.egress"},
		"a public port that is none":              {"networkPolicy.publicPorts={0}", "publicPorts"},
		"a key of image_urls that is none":        {"config.http.image_urls.host={a.example}", "host"},
		"a playground that is neither on nor off": {"config.http.playground=yes", "playground"},
		"a budget without a unit it knows":        {"config.inference.memory_budget=2GB", "memory_budget"},
		"definitions over the image's models":     {"models.definitions.a.labels\\.txt=x", "not for models.from: image"},
		"a digest that is none":                   {"image.digest=latest", "digest"},
		"an Ingress without a host":               {"ingress.enabled=true", "host"},
		"an Ingress that the policy locks out":    {"ingress.enabled=true,ingress.host=a.b", "networkPolicy.namespaces"},
		"a route without a Gateway":               {"httpRoute.enabled=true", "parentRefs"},
		"an Ingress and a route":                  {"ingress.enabled=true,ingress.host=a.b,httpRoute.enabled=true,httpRoute.parentRefs[0].name=g", "not"},
		"a route for gRPC without gRPC":           {"grpcRoute.enabled=true,grpcRoute.parentRefs[0].name=g", "grpc"},
		"root":                                    {"user.uid=0", "uid"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := helmTemplate(t, "--set", test.set); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %q, rendered %d bytes", err, test.want, len(out))
			}
		})
	}
	if _, err := helmTemplate(t, "--values=testdata/values/volume.yaml", "--kube-version=1.33.0"); err == nil || !strings.Contains(err.Error(), "1.35") {
		t.Errorf("an image volume on Kubernetes 1.33: %v", err)
	}
}

var (
	pod    = []string{"spec", "template", "spec"}
	server = append(slices.Clone(pod), "containers", "serve")
)

func under(path []string, more ...string) []string { return slices.Concat(path, more) }

// TestChartSets looks up what a file of values must make.
func TestChartSets(t *testing.T) {
	const deployment = "Deployment fovea"
	env := func(name string) []string { return under(server, "env", name, "value") }
	for _, test := range []struct {
		values, kind string
		path         []string
		want         any
	}{
		{"default", deployment, []string{"spec", "strategy", "rollingUpdate", "maxSurge"}, 1},
		{"default", deployment, []string{"spec", "strategy", "rollingUpdate", "maxUnavailable"}, 0},
		{"default", deployment, under(pod, "terminationGracePeriodSeconds"), 45},
		{"default", deployment, env("FOVEA_SHUTDOWN_DELAY"), "10s"},
		{"default", deployment, env("FOVEA_SHUTDOWN_TIMEOUT"), "40s"},
		{"default", deployment, env("FOVEA_INFERENCE_DEVICE"), "cpu"},
		{"default", deployment, env("FOVEA_HTTP_CLIENT_SHARE"), "1"},
		{"default", deployment, under(server, "restartPolicy"), nil},
		{"default", deployment, under(server, "startupProbe", "httpGet", "path"), "/ready"},
		{"default", deployment, under(server, "readinessProbe", "httpGet", "path"), "/ready"},
		{"default", deployment, under(server, "livenessProbe", "httpGet", "path"), "/health"},
		{"default", "PodDisruptionBudget fovea", []string{"spec", "unhealthyPodEvictionPolicy"}, "AlwaysAllow"},
		{"default", "NetworkPolicy fovea", []string{"spec", "egress"}, []any{}},
		{"public", deployment, env("FOVEA_HTTP_IMAGE_URLS_HOSTS"), "images.example.com,*.cdn.example.com"},
		{"public", deployment, env("FOVEA_HTTP_IMAGE_URLS_HTTP"), "false"},
		{"public", deployment, env("FOVEA_HTTP_IMAGE_URLS_REDIRECTS"), "1"},
		{"public", deployment, env("FOVEA_HTTP_IMAGE_URLS_TIMEOUT"), "3s"},
		{"public", deployment, env("FOVEA_HTTP_PLAYGROUND"), "on"},
		{"public", deployment, env("FOVEA_INFERENCE_MEMORY_BUDGET"), "2GiB"},
		{"public", "ConfigMap fovea-definitions", []string{"data", "big..model.yaml"}, "task: classification\nmemory: {ttl: 10m}\n"},
		{"gpu", deployment, []string{"spec", "strategy", "rollingUpdate", "maxSurge"}, 0},
		{"gpu", deployment, []string{"spec", "strategy", "rollingUpdate", "maxUnavailable"}, 1},
		{"gpu", deployment, under(server, "resources", "limits", "nvidia.com/gpu"), 1},
		{"gpu", deployment, env("FOVEA_INFERENCE_DEVICE"), "cuda"},
		{"gpu", deployment, under(server, "image"), "fovea:0.1.0-dev-cuda"},
		{"gpu", deployment, under(server, "restartPolicy"), "Never"},
		{"gpu", deployment, under(pod, "runtimeClassName"), "nvidia"},
		{"mig", deployment, under(server, "resources", "limits", "nvidia.com/mig-1g.10gb"), 1},
		{"shared", deployment, under(server, "resources", "limits", "nvidia.com/gpu.shared"), 1},
		{"claim-of-devices", deployment, under(server, "resources", "limits", "nvidia.com/gpu"), nil},
		{"claim-of-devices", deployment, under(server, "resources", "claims", "gpu", "name"), "gpu"},
		{"claim-of-devices", deployment, under(pod, "resourceClaims", "gpu", "resourceClaimTemplateName"), "fovea-gpu"},
		{"claim-of-devices", "ResourceClaimTemplate fovea-gpu", []string{"spec", "spec", "devices", "requests", "gpu", "exactly", "count"}, 1},
		{"secured", deployment, env("FOVEA_HTTP_TLS_CERTIFICATE"), "/etc/fovea/tls/tls.crt"},
		{"secured", deployment, env("FOVEA_HTTP_TLS_CLIENT_CA"), "/etc/fovea/client-ca/ca.crt"},
		{"secured", deployment, env("FOVEA_HTTP_TLS_CLIENT_NAMES"), "camera.example,gateway.example"},
		{"secured", deployment, env("FOVEA_HTTP_KEYS"), "/etc/fovea/keys/keys.yaml"},
		{"secured", deployment, env("FOVEA_GRPC_ADDRESS"), ":8001"},
		{"secured", deployment, under(server, "readinessProbe", "exec", "command"), []any{"/usr/local/bin/serve", "probe", "--timeout=3s", "--ready"}},
		{"secured", deployment, under(server, "livenessProbe", "exec", "command"), []any{"/usr/local/bin/serve", "probe", "--timeout=5s"}},
		{"secured", "PodMonitor fovea", []string{"spec", "jobLabel"}, "app.kubernetes.io/name"},
		{"tls", deployment, under(server, "readinessProbe", "httpGet", "scheme"), "HTTPS"},
		{"tls", "Service fovea", []string{"spec", "ports", "http", "appProtocol"}, "https"},
		{"tls", "BackendTLSPolicy fovea", []string{"spec", "validation", "hostname"}, "fovea.example"},
		{"pull", deployment, under(pod, "initContainers", "pull", "args"), []any{"models", "pull", "--definitions=.definitions", "mobilenetv2", "yolox-nano"}},
		{"pull", deployment, env("FOVEA_INFERENCE_MODELS"), "mobilenetv2:required,yolox-nano"},
		{"pull", deployment, env("FOVEA_REPOSITORY_POLL"), "0s"},
		{"pull", "ConfigMap fovea-definitions", []string{"data", "mine..labels.txt"}, "a\nb\n"},
		{"claim", deployment, under(pod, "volumes", "models", "persistentVolumeClaim", "claimName"), "models"},
		{"claim", deployment, under(server, "volumeMounts", "models", "subPath"), "fovea"},
		{"claim", deployment, env("FOVEA_REPOSITORY_POLL"), "10s"},
		{"gateway", "Service fovea-headless", []string{"spec", "clusterIP"}, "None"},
		{"ingress", "Ingress fovea", []string{"metadata", "annotations", "nginx.ingress.kubernetes.io/proxy-read-timeout"}, "30"},
		{"ingress", "Ingress fovea", []string{"metadata", "annotations", "example.com/a"}, "b"},
		{"autoscaled", deployment, []string{"spec", "replicas"}, nil},
		{"autoscaled", "HorizontalPodAutoscaler fovea", []string{"spec", "minReplicas"}, 2},
		{"keda", deployment, []string{"spec", "replicas"}, nil},
		{"keda", "PodDisruptionBudget fovea", nil, nil},
		{"prestop", deployment, env("FOVEA_SHUTDOWN_DELAY"), "0s"},
		{"prestop", deployment, env("FOVEA_SHUTDOWN_TIMEOUT"), "60s"},
		{"prestop", deployment, under(pod, "terminationGracePeriodSeconds"), 72},
		{"prestop", deployment, under(server, "lifecycle", "preStop", "sleep", "seconds"), 7},
		{"prestop", deployment, under(pod, "securityContext", "runAsUser"), nil},
		{"prestop", "PodDisruptionBudget fovea", nil, nil},
	} {
		o, there := rendered(t, test.values)[test.kind]
		if test.path == nil {
			if there {
				t.Errorf("%s has a %s", test.values, test.kind)
			}
			continue
		}
		if got := o.at(test.path...); fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s, %s, %s: %v; want %v", test.values, test.kind, strings.Join(test.path, " "), got, test.want)
		}
	}
}

// TestOlderKubernetesRestartsContainers: restart rules are unknown before 1.35.
func TestOlderKubernetesRestartsContainers(t *testing.T) {
	for version, want := range map[string]any{"1.34.0": nil, "1.35.0": "Never"} {
		if got := rendered(t, "gpu", "--kube-version="+version)["Deployment fovea"].at(under(server, "restartPolicy")...); got != want {
			t.Errorf("Kubernetes %s: %v", version, got)
		}
	}
}

// TestConfigurationStaysWithItsPods: a change of the configuration is one of the pods' template, so that it is rolled out and back, and
// pods of the old generation keep the old one.
func TestConfigurationStaysWithItsPods(t *testing.T) {
	value := func(args ...string) any {
		return rendered(t, "default", args...)["Deployment fovea"].at(under(server, "env", "FOVEA_HTTP_MAX_BODY_BYTES", "value")...)
	}
	if before, after := value(), value("--set=config.http.max_body_bytes=104857600"); before != nil || after != "104857600" {
		t.Errorf("%v, then %v", before, after)
	}
}

// TestDefinitionsReachTheirPods: weights are pulled when a pod starts, so other definitions are other pods; on a claim, the pods that
// run read them.
func TestDefinitionsReachTheirPods(t *testing.T) {
	template := func(values, text string) string {
		return fmt.Sprint(rendered(t, values, "--set=models.definitions.mine.model\\.yaml="+text)["Deployment fovea"].at("spec", "template"))
	}
	if template("pull", "a") == template("pull", "b") {
		t.Error("pods stay with the definitions that they have pulled")
	}
	if template("public", "a") != template("public", "b") {
		t.Error("pods with a claim are replaced for a definition")
	}
}

// TestOutgoingTraffic: public ports open no private address and no metadata service; other rules are added to them.
func TestOutgoingTraffic(t *testing.T) {
	egress, _ := rendered(t, "public", `--set-json=networkPolicy.egress=[{"ports":[{"port":4318}]}]`)["NetworkPolicy fovea"].at("spec", "egress").([]any)
	if len(egress) != 3 {
		t.Fatalf("%d rules: %v", len(egress), egress)
	}
	public := object(egress[1].(map[string]any))
	if got := fmt.Sprint(public["ports"]); got != "[map[port:443 protocol:TCP] map[port:8443 protocol:TCP]]" {
		t.Errorf("ports %s", got)
	}
	for _, address := range []string{"10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.31.0.1", "192.168.1.1", "fd00:ec2::254", "fe80::1", "::1"} {
		if allows(t, public["to"].([]any), address) {
			t.Errorf("%s is open", address)
		}
	}
	for _, address := range []string{"93.184.216.34", "172.32.0.1", "2606:2800:220:1::1"} {
		if !allows(t, public["to"].([]any), address) {
			t.Errorf("%s is closed", address)
		}
	}
}

// allows reports whether one of some peers, which are blocks of addresses, holds an address.
func allows(t *testing.T, peers []any, address string) bool {
	t.Helper()
	holds := func(cidr any) bool {
		prefix, err := netip.ParsePrefix(cidr.(string))
		if err != nil {
			t.Fatal(err)
		}
		return prefix.Contains(netip.MustParseAddr(address))
	}
	return slices.ContainsFunc(peers, func(peer any) bool {
		block := object(peer.(map[string]any)).at("ipBlock").(map[string]any)
		except, _ := block["except"].([]any)
		return holds(block["cidr"]) && !slices.ContainsFunc(except, holds)
	})
}

// TestObjectsAreFew: what a release makes does not grow with its replicas.
func TestObjectsAreFew(t *testing.T) {
	few, many := rendered(t, "default"), rendered(t, "default", "--set=replicas=500")
	if got, want := slices.Sorted(maps.Keys(many)), slices.Sorted(maps.Keys(few)); !slices.Equal(got, want) || len(want) != 5 {
		t.Errorf("%q with 500 replicas, %q with 2", got, want)
	}
}

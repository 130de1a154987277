package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"fovea/fleet"
	"fovea/internal/config"

	"github.com/goccy/go-yaml"
)

// composeService is what compose.yaml says about a container.
type composeService struct {
	ReadOnly    bool          `yaml:"read_only"`
	CapDrop     []string      `yaml:"cap_drop"`
	SecurityOpt []string      `yaml:"security_opt"`
	Tmpfs       []string      `yaml:"tmpfs"`
	MemLimit    string        `yaml:"mem_limit"`
	StopGrace   time.Duration `yaml:"stop_grace_period"`
	Healthcheck struct {
		Test              []string
		Interval, Timeout time.Duration
		Retries           int
	}
}

// probe is one of a container on Kubernetes.
type probe struct {
	HTTPGet          struct{ Path string } `yaml:"httpGet"`
	PeriodSeconds    int                   `yaml:"periodSeconds"`
	TimeoutSeconds   int                   `yaml:"timeoutSeconds"`
	FailureThreshold int                   `yaml:"failureThreshold"`
}

func (p probe) String() string {
	return fmt.Sprintf("%s every %ds, %ds, %d failures", p.HTTPGet.Path, p.PeriodSeconds, p.TimeoutSeconds, p.FailureThreshold)
}

// podContainer is a container on Kubernetes, of Fovea's own manifests or a KServe runtime.
type podContainer struct {
	Env             []struct{ Name, Value string }
	StartupProbe    probe `yaml:"startupProbe"`
	ReadinessProbe  probe `yaml:"readinessProbe"`
	LivenessProbe   probe `yaml:"livenessProbe"`
	Resources       struct{ Limits struct{ CPU, Memory string } }
	SecurityContext securityContext `yaml:"securityContext"`
}

type securityContext struct {
	RunAsUser    int64                   `yaml:"runAsUser"`
	RunAsGroup   int64                   `yaml:"runAsGroup"`
	ReadOnly     bool                    `yaml:"readOnlyRootFilesystem"`
	Escalation   *bool                   `yaml:"allowPrivilegeEscalation"`
	Capabilities struct{ Drop []string } `yaml:"capabilities"`
	Seccomp      struct{ Type string }   `yaml:"seccompProfile"`
}

type podVolume struct {
	Name     string
	EmptyDir struct {
		Medium    string
		SizeLimit string `yaml:"sizeLimit"`
	} `yaml:"emptyDir"`
}

// workload is a Deployment or a KServe runtime; both have the parts of a pod at their own places.
type workload struct {
	Kind string
	Spec struct {
		Containers []podContainer
		Volumes    []podVolume
		MinReady   int `yaml:"minReadySeconds"`
		Template   struct {
			Spec struct {
				Grace           int             `yaml:"terminationGracePeriodSeconds"`
				SecurityContext securityContext `yaml:"securityContext"`
				Containers      []podContainer
				Volumes         []podVolume
			}
		}
	}
}

// readAll decodes the documents of a YAML file that are of one of the kinds.
func readAll(t *testing.T, file string, kinds ...string) (list []workload) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var w workload
		err := decoder.Decode(&w)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, kind := range kinds {
			if w.Kind == kind {
				list = append(list, w)
			}
		}
	}
	if len(list) == 0 {
		t.Fatalf("%s has no %q", file, kinds)
	}
	return list
}

// compose reads the service serve of compose.yaml, with the defaults of its variables.
func compose(t *testing.T) composeService {
	t.Helper()
	data, err := os.ReadFile("../../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	data = regexp.MustCompile(`\$\{[A-Z_]+:-([^}]*)\}`).ReplaceAll(data, []byte("$1"))
	var file struct{ Services map[string]composeService }
	if err := yaml.UnmarshalWithOptions(data, &file, yaml.AllowDuplicateMapKey()); err != nil {
		t.Fatal(err)
	}
	return file.Services["serve"]
}

// size reads a size as Kubernetes and Compose write it.
func size(t *testing.T, text string) config.Size {
	t.Helper()
	var s config.Size
	text = strings.NewReplacer("Gi", "GiB", "Mi", "MiB", "g", "GiB", "m", "MiB").Replace(text)
	if err := s.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return s
}

func seconds(t *testing.T, c podContainer, name string) time.Duration {
	t.Helper()
	for _, v := range c.Env {
		if v.Name == name {
			d, err := time.ParseDuration(v.Value)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	t.Fatalf("%s is not set", name)
	return 0
}

// TestWaysToRunAgree: Compose, supervise, the chart's example and KServe's runtimes run the same container. What they say about its
// probes, its end and its hardening is equal, or fits together.
func TestWaysToRunAgree(t *testing.T) {
	check := func(what string, holds bool) {
		t.Helper()
		if !holds {
			t.Errorf("failed: %s", what)
		}
	}
	one, supervised := compose(t), fleet.Defaults()
	deployment := readAll(t, "../../deploy/kubernetes/fovea.yaml", "Deployment")[0]
	pod := deployment.Spec.Template.Spec
	c := pod.Containers[0]

	drain := defaults().Shutdown.Timeout
	delay, timeout := seconds(t, c, "FOVEA_SHUTDOWN_DELAY"), seconds(t, c, "FOVEA_SHUTDOWN_TIMEOUT")
	grace := time.Duration(pod.Grace) * time.Second
	check("after the delay, pods drain as long as the server does by default", timeout-delay == drain)
	check("the kubelet waits for longer than the server drains", grace >= timeout+5*time.Second)
	check("so does Compose", one.StopGrace >= drain+5*time.Second)
	check("so does supervise", supervised.StopTimeout >= drain+5*time.Second)
	check("a rollout watches a new pod as long as supervise does", time.Duration(deployment.Spec.MinReady)*time.Second == supervised.Rollout.Monitor)

	user := fmt.Sprintf("%d:%d", pod.SecurityContext.RunAsUser, pod.SecurityContext.RunAsGroup)
	check("pods run as supervise's user", user == supervised.User)
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	check("and as the image's", strings.Contains(string(dockerfile), "\nUSER "+user+"\n"))
	check("Compose hardens", one.ReadOnly && fmt.Sprint(one.CapDrop, one.SecurityOpt) == "[ALL] [no-new-privileges:true]")
	check("memory is Compose's", size(t, c.Resources.Limits.Memory) == size(t, one.MemLimit))
	cpus, err := strconv.ParseFloat(c.Resources.Limits.CPU, 64)
	check("cores are supervise's", err == nil && cpus == supervised.Limits.CPUs)
	tmp := size(t, pod.Volumes[0].EmptyDir.SizeLimit)
	check("/tmp is supervise's", tmp == supervised.Limits.Tmpfs)
	_, options, _ := strings.Cut(one.Tmpfs[0], "size=")
	check("and Compose's", tmp == size(t, strings.Split(options, ",")[0]))

	health := one.Healthcheck
	check("liveness is Compose's health check", c.LivenessProbe.PeriodSeconds == int(health.Interval.Seconds()) &&
		c.LivenessProbe.TimeoutSeconds == int(health.Timeout.Seconds()) && c.LivenessProbe.FailureThreshold == health.Retries)
	check("and the image's", strings.Contains(string(dockerfile), fmt.Sprintf("HEALTHCHECK --interval=%s --timeout=%s --start-period=60s --retries=%d CMD [%q, %q]",
		health.Interval, health.Timeout, health.Retries, health.Test[1], health.Test[2])))
	check("readiness is supervise's probe", c.ReadinessProbe.PeriodSeconds == int(supervised.Health.Interval.Seconds()) &&
		c.ReadinessProbe.TimeoutSeconds == int(supervised.Health.Timeout.Seconds()) && c.ReadinessProbe.FailureThreshold == supervised.Health.Failures)
	loading := time.Duration(c.StartupProbe.PeriodSeconds*c.StartupProbe.FailureThreshold) * time.Second
	check("a pod may start for longer than a model may load", loading > defaults().Inference.LoadTimeout)
	check("the paths are those of the probes", c.StartupProbe.HTTPGet.Path == "/ready" && c.ReadinessProbe.HTTPGet.Path == "/ready" && c.LivenessProbe.HTTPGet.Path == "/health")
	restart := seconds(t, c, "FOVEA_SHUTDOWN_BROKEN_AFTER")
	check("a fault ends the server before its probe would restart it in place", restart < time.Duration((c.LivenessProbe.FailureThreshold-1)*c.LivenessProbe.PeriodSeconds)*time.Second)

	runtimes := append(readAll(t, "../../deploy/kserve/clusterservingruntime.yaml", "ClusterServingRuntime"), readAll(t, "../../deploy/kserve/servingruntime.yaml", "ServingRuntime")...)
	for i, runtime := range runtimes {
		k := runtime.Spec.Containers[0]
		for _, probes := range [][2]probe{{k.StartupProbe, c.StartupProbe}, {k.ReadinessProbe, c.ReadinessProbe}, {k.LivenessProbe, c.LivenessProbe}} {
			check(fmt.Sprintf("KServe's runtime %d has the chart's probes: %s, %s", i, probes[0], probes[1]), probes[0] == probes[1])
		}
		own, chart := k.SecurityContext, c.SecurityContext
		check("KServe's runtimes harden as the chart does", own.ReadOnly && chart.ReadOnly && own.Escalation != nil && !*own.Escalation &&
			fmt.Sprint(own.Capabilities, own.RunAsUser) == fmt.Sprint(chart.Capabilities, pod.SecurityContext.RunAsUser) && own.Seccomp == pod.SecurityContext.Seccomp)
		check("KServe's runtimes have the chart's /tmp", runtime.Spec.Volumes[0] == pod.Volumes[0])
		check("KServe's runtimes end within Kubernetes' default grace", seconds(t, k, "FOVEA_SHUTDOWN_TIMEOUT") <= 25*time.Second)
	}
}

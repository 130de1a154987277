//go:build chart

package helm

import (
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

var update = flag.Bool("update", false, "write deploy/kubernetes/fovea.yaml")

// object is a Kubernetes object.
type object map[string]any

// at returns what is at a path, whose parts are keys or, in lists, values of the key name.
func (o object) at(path ...string) any {
	var value any = map[string]any(o)
	for _, part := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[part]
		case []any:
			i := slices.IndexFunc(v, func(item any) bool {
				entry, _ := item.(map[string]any)
				return entry["name"] == part
			})
			if i < 0 {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// objects parses a stream of documents.
func objects(t *testing.T, text string) (list []object) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var o map[string]any
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if len(o) > 0 {
			list = append(list, o)
		}
	}
}

// rendered are the objects of a file of values and of further arguments, by kind and name.
func rendered(t *testing.T, values string, args ...string) map[string]object {
	t.Helper()
	if values != "" {
		args = append(args, "--values=testdata/values/"+values+".yaml")
	}
	text, err := helmTemplate(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]object{}
	for _, o := range objects(t, text) {
		found[o["kind"].(string)+" "+o.at("metadata", "name").(string)] = o
	}
	return found
}

// conforms checks objects against the schemas of Kubernetes and of the operators' resources.
func conforms(t *testing.T, text string) error {
	t.Helper()
	out, errs, err := run(t, []byte(text), program(t, "FOVEA_TEST_KUBECONFORM"), "-strict", "-schema-location",
		program(t, "FOVEA_TEST_KUBE_SCHEMAS")+"/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json")
	if err != nil {
		return errors.New(out + errs)
	}
	return nil
}

// TestValuesMakeValidObjects: what every file of values makes is what the API server takes, restricted, and without lint.
func TestValuesMakeValidObjects(t *testing.T) {
	for _, name := range sets(t) {
		t.Run(name, func(t *testing.T) {
			file := "--values=testdata/values/" + name + ".yaml"
			if out, errs, err := run(t, nil, program(t, "FOVEA_TEST_HELM"), "lint", "--strict", file, "fovea"); err != nil {
				t.Errorf("%s%s", out, errs)
			}
			text, err := helmTemplate(t, file)
			if err != nil {
				t.Fatal(err)
			}
			if err := conforms(t, text); err != nil {
				t.Error(err)
			}
			for _, o := range objects(t, text) {
				if o["kind"] == "Deployment" {
					restricted(t, o.at("spec", "template", "spec").(map[string]any))
				}
			}
		})
	}
}

func TestKubeconformRefusesAWrongKey(t *testing.T) {
	text, err := helmTemplate(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{{"minReadySeconds:", "minReadySecond:"}, {"replicas: 2", "replicas: two"}, {"kind: Service\n", "kind: Servise\n"}} {
		if conforms(t, strings.Replace(text, change[0], change[1], 1)) == nil {
			t.Errorf("%s for %s is accepted", change[1], change[0])
		}
	}
}

// restricted checks a pod against what Pod Security's level restricted, and this chart beyond it, demand.
func restricted(t *testing.T, pod object) {
	t.Helper()
	check := func(what string, holds bool) {
		t.Helper()
		if !holds {
			t.Errorf("failed: %s", what)
		}
	}
	check("runs as another user than root", pod.at("securityContext", "runAsNonRoot") == true)
	check("seccomp is the runtime's", pod.at("securityContext", "seccompProfile", "type") == "RuntimeDefault")
	check("no token", pod.at("automountServiceAccountToken") == false)
	check("no variables of Services", pod.at("enableServiceLinks") == false)
	for _, key := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		check("no "+key, pod[key] == nil)
	}
	containers, _ := pod["containers"].([]any)
	initial, _ := pod["initContainers"].([]any)
	for _, c := range slices.Concat(containers, initial) {
		container := object(c.(map[string]any))
		name := container["name"].(string)
		drop, _ := container.at("securityContext", "capabilities", "drop").([]any)
		check(name+": no capabilities", len(drop) == 1 && drop[0] == "ALL" && container.at("securityContext", "capabilities", "add") == nil)
		check(name+": no new privileges", container.at("securityContext", "allowPrivilegeEscalation") == false)
		check(name+": read-only root", container.at("securityContext", "readOnlyRootFilesystem") == true)
		check(name+": bounded memory", container.at("resources", "limits", "memory") != nil)
		for _, m := range container["volumeMounts"].([]any) {
			mount := m.(map[string]any)
			writable := mount["mountPath"] == "/tmp" || name == "pull" && mount["mountPath"] == "/models"
			check(name+": "+mount["mountPath"].(string)+" is read-only", writable || mount["readOnly"] == true)
		}
	}
	allowed := []string{"configMap", "emptyDir", "secret", "persistentVolumeClaim", "image"}
	for _, v := range pod["volumes"].([]any) {
		for kind := range maps.Keys(v.(map[string]any)) {
			check("volume of kind "+kind, kind == "name" || slices.Contains(allowed, kind))
		}
	}
	check("/tmp is bounded memory", pod.at("volumes", "tmp", "emptyDir", "medium") == "Memory" && pod.at("volumes", "tmp", "emptyDir", "sizeLimit") != nil)
}

// plainExample are the objects for those without Helm.
const plainExample = "../kubernetes/fovea.yaml"

// TestPlainExampleIsTheChart: the example is what the chart's defaults make, without the labels that speak of Helm.
func TestPlainExampleIsTheChart(t *testing.T) {
	text, err := helmTemplate(t)
	if err != nil {
		t.Fatal(err)
	}
	want := "# Fovea for those without Helm: what the chart in deploy/helm makes of its defaults. make chart-test ARGS=-update writes it.\n" +
		"#\n#   kubectl create namespace fovea\n#   kubectl apply --namespace fovea -f deploy/kubernetes/fovea.yaml\n"
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "helm.sh/chart") && !strings.Contains(line, "managed-by") && !strings.HasPrefix(line, "# Source") && line != "  namespace: fovea\n" && line != "\n" {
			want += line
		}
	}
	if *update {
		if err := os.WriteFile(plainExample, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(plainExample)
	if err != nil || string(got) != want {
		t.Errorf("%s differs from the chart (make chart-test ARGS=-update writes it), %v; want\n%s", plainExample, err, want)
	}
	if err := conforms(t, want); err != nil {
		t.Error(err)
	}
}

// TestLoadTestConforms checks the Job of the load test. KServe's files are checked on a cluster only: its resource definitions are in no
// Go module.
func TestLoadTestConforms(t *testing.T) {
	text, err := os.ReadFile("../kubernetes/loadtest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := conforms(t, string(text)); err != nil {
		t.Error(err)
	}
	for _, o := range objects(t, string(text)) {
		restricted(t, o.at("spec", "template", "spec").(map[string]any))
	}
}

// TestServerTakesTheObjects runs where a cluster of the kit is up.
func TestServerTakesTheObjects(t *testing.T) { serverTakesTheObjects(t) }

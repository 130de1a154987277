//go:build chart || cluster

package helm

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program returns the path of a program that make chart-test installs.
func program(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set: run make chart-test", variable)
	}
	return path
}

func run(t *testing.T, input []byte, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// helmTemplate renders the chart; the error is what Helm says.
func helmTemplate(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, errs, err := run(t, nil, program(t, "FOVEA_TEST_HELM"), append([]string{"template", "fovea", "fovea", "--namespace=fovea"}, args...)...)
	if err != nil {
		return "", errors.New(errs)
	}
	return out, nil
}

// sets lists the files of values.
func sets(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no values: %v", err)
	}
	for _, file := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".yaml"))
	}
	return names
}

// kubeconfig is that of a cluster of the kit, while one is up.
const kubeconfig = "/run/cluster/kubeconfig"

// serverTakesTheObjects has the API server of a cluster of the kit check what kubeconform checks elsewhere, and KServe's objects. It
// returns how many files it has checked.
func serverTakesTheObjects(t *testing.T) int {
	t.Helper()
	if _, err := os.Stat(kubeconfig); err != nil {
		t.Skip("no cluster: kubeconform has checked the objects")
	}
	name := filepath.Join(os.Getenv("HOME"), ".cache/cluster/bin/kubectl")
	kubectl := func(input string, args ...string) (string, string, error) {
		return run(t, []byte(input), name, append([]string{"--kubeconfig=" + kubeconfig, "--namespace=default", "--request-timeout=30s"}, args...)...)
	}
	if _, errs, err := kubectl("", "get", "crd", "inferenceservices.serving.kserve.io"); err != nil {
		t.Skipf("the cluster is not up: %s", errs)
	}
	take := func(name, text string) {
		t.Helper()
		if out, errs, err := kubectl(text, "apply", "--dry-run=server", "--validate=strict", "-f", "-"); err != nil || strings.Contains(errs, "Warning") {
			t.Errorf("%s: %v: %s%s", name, err, out, errs)
		}
	}
	for _, name := range sets(t) {
		text, err := helmTemplate(t, "--values=testdata/values/"+name+".yaml", "--namespace=default")
		if err != nil {
			t.Fatal(err)
		}
		take(name, text)
	}
	files, err := filepath.Glob("../k*/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		take(file, string(text))
	}
	return len(sets(t)) + len(files)
}

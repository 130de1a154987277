//go:build chart || cluster

package helm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

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

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
)

// tritonModels are the models that the example clients of Triton ask for: OUTPUT0 is INPUT0 + INPUT1 and OUTPUT1 is INPUT0 - INPUT1, of
// numbers in different types; simple_identity returns its input.
func tritonModels() map[string]*onnxwriter.Model {
	sums := func(t onnxwriter.Type) *onnxwriter.Model {
		m := &onnxwriter.Model{}
		for _, name := range []string{"INPUT0", "INPUT1"} {
			m.Input(name, t, "n", 16)
			m.Node("Cast", name+"_number", onnxwriter.Attributes{"to": int(onnxwriter.Int32)}, name)
		}
		for name, op := range map[string]string{"OUTPUT0": "Add", "OUTPUT1": "Sub"} {
			m.Node(op, name+"_number", nil, "INPUT0_number", "INPUT1_number")
			m.Node("Cast", name, onnxwriter.Attributes{"to": int(t)}, name+"_number")
		}
		m.Output("OUTPUT0", t, "n", 16)
		m.Output("OUTPUT1", t, "n", 16)
		return m
	}
	identity := &onnxwriter.Model{}
	identity.Input("INPUT0", onnxwriter.String, "n", 16)
	identity.Node("Identity", "OUTPUT0", nil, "INPUT0")
	identity.Output("OUTPUT0", onnxwriter.String, "n", 16)
	return map[string]*onnxwriter.Model{"simple": sums(onnxwriter.Int32), "simple_string": sums(onnxwriter.String), "simple_int8": sums(onnxwriter.Int8),
		"simple_identity": identity}
}

// TestTritonExampleClients has Triton's own client library make the requests of its example clients. scripts/clients-test installs it.
func TestTritonExampleClients(t *testing.T) {
	code, err := os.ReadFile("testdata/triton_clients.py")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, m := range tritonModels() {
		write(t, filepath.Join(dir, name, "1", "model.onnx"), m.Bytes())
	}
	p := start(t, dir, "--grpc.address=127.0.0.1:0", "--v2.server_name=triton")
	p.waitReady()
	script := strings.Replace(string(code), "HTTP, GRPC = sys.argv[1:]", "HTTP, GRPC = '"+p.address+"', '"+p.grpcAddress()+"'", 1)
	output, err := runPython(t, t.TempDir(), script)
	if err != nil || !strings.Contains(output, "all as expected") {
		t.Errorf("%v\n%s", err, output)
	}
}

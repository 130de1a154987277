package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/reference"
	"fovea/loadtest"
)

func TestDocumentOfTheCommandLine(t *testing.T) {
	p := programOf(rootCommand())
	reference.Check(t, "cli.md", "loadtest json", p.JSONTable())
	reference.Check(t, "cli.md", "loadtest statuses", p.StatusTable())
}

func TestResultOnStandardOutput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "result.json")
	var saved bytes.Buffer
	if err := (&loadtest.Result{Format: loadtest.Format, Label: "one", Levels: []loadtest.Level{{Concurrency: 2, Throughput: 5}}}).Write(&saved); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, saved.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	status, out, stderr := loadTest(t, "report", file, "--json=-")
	var got loadtest.Result
	if err := json.Unmarshal([]byte(out), &got); status != 0 || err != nil || got.Label != "one" {
		t.Errorf("JSON: %d %s %v\n%s", status, stderr, err, out)
	}
	if status, out, stderr := loadTest(t, "report", file, "--csv=-"); status != 0 || !strings.HasPrefix(out, "label,url,") {
		t.Errorf("CSV: %d %s\n%s", status, stderr, out)
	}
	status, out, stderr = loadTest(t, "compare", file, file, "--json=-")
	var compared []map[string]any
	if err := json.Unmarshal([]byte(out), &compared); status != 0 || err != nil || len(compared) != 2 || compared[1]["throughput_ratio"] != 2.0/2 || compared[0]["p99_ratio"] != nil {
		t.Errorf("comparison: %d %s %v\n%s", status, stderr, err, out)
	}
	if status, _, stderr := loadTest(t, "--json=-", "--csv=-"); status != exitFailed || !strings.Contains(stderr, "standard output takes either") {
		t.Errorf("both: %d %s", status, stderr)
	}
}

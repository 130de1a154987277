package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"fovea/docker"
	"fovea/fleet"
	"fovea/internal/reference"
	"fovea/internal/testenv"
)

func TestDocumentOfTheCommandLine(t *testing.T) {
	p := programOf(rootCommand())
	reference.Check(t, "cli.md", "supervise json", p.JSONTable())
	reference.Check(t, "cli.md", "supervise statuses", p.StatusTable())
}

func TestChecksAsTextAndJSON(t *testing.T) {
	checks := []docker.Check{{Name: "image", OK: true, Found: "there"}, {Name: "socket", Found: "missing", Advice: "make it"}}
	for want, list := range map[string][]docker.Check{"": checks[:1], "1 check failed": checks, "2 checks failed": {checks[1], checks[1]}} {
		var text, asJSON bytes.Buffer
		for _, err := range []error{showChecks(&text, list, false), showChecks(&asJSON, list, true)} {
			if (err == nil) != (want == "") || err != nil && err.Error() != want {
				t.Errorf("%d checks: %v, want %q", len(list), err, want)
			}
		}
		var got []map[string]any
		if err := json.Unmarshal(asJSON.Bytes(), &got); err != nil || len(got) != len(list) {
			t.Errorf("%v %s", err, asJSON.String())
		}
		if strings.Contains(text.String(), "\x1b") {
			t.Errorf("colors outside a terminal: %q", text.String())
		}
	}
	var text bytes.Buffer
	_ = showChecks(&text, checks, false)
	if text.String() != "ok    image: there\nFAIL  socket: missing\n      fix: make it\n" {
		t.Errorf("%q", text.String())
	}
}

func TestStatusOnATerminalAndElsewhere(t *testing.T) {
	t.Setenv("TERM", "xterm")
	s := fleet.Status{Name: "fovea", Replicas: []fleet.ReplicaStatus{{Name: "cpu-0", State: fleet.Ready}, {Name: "cpu-1", State: fleet.Failed}}}
	for noColor, want := range map[string][]string{"": {"\x1b[H\x1b[2Jfovea", "\x1b[32mready\x1b[0m", "\x1b[31mfailed\x1b[0m"}, "1": {"\x1b[H\x1b[2Jfovea", "  ready ", "  failed "}} {
		t.Setenv("NO_COLOR", noColor)
		end, tty := testenv.Terminal(t, 80)
		if err := show(tty, s, false, true); err != nil {
			t.Fatal(err)
		}
		_, _ = tty.WriteString("END")
		var text []byte
		for buffer := make([]byte, 4096); !bytes.HasSuffix(text, []byte("END")); {
			n, err := end.Read(buffer)
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, buffer[:n]...)
		}
		for _, part := range want {
			if !strings.Contains(string(text), part) {
				t.Errorf("NO_COLOR=%s: no %q in %q", noColor, part, text)
			}
		}
	}
	var b bytes.Buffer
	if err := show(&b, s, false, true); err != nil || strings.Contains(b.String(), "\x1b") || !strings.Contains(b.String(), "\ncpu-1    -    failed") {
		t.Errorf("--watch in a pipe: %v %q", err, b.String())
	}
}

func TestConfigAsJSON(t *testing.T) {
	out, err := command(t, "config", "--json")
	var got struct {
		Name    string
		Gateway struct{ Address string }
	}
	if err != nil || json.Unmarshal([]byte(out), &got) != nil || got.Name != fleet.Defaults().Name || got.Gateway.Address != fleet.Defaults().Gateway.Address {
		t.Errorf("%v %s", err, out)
	}
}

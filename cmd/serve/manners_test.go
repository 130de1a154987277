package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/reference"
	"fovea/internal/testenv"
)

func TestDocumentOfTheCommandLine(t *testing.T) {
	t.Setenv("FOVEA_CONFIG", "")
	p := programOf(rootCommand())
	reference.Check(t, "cli.md", "serve json", p.JSONTable())
	reference.Check(t, "cli.md", "serve statuses", p.StatusTable())
}

func TestListOfModelsOnATerminalAndElsewhere(t *testing.T) {
	repo := colorRepository(t, "", colorClassifier(0, 1, 2), colorClassifier(0, 1, 2))
	lay(t, repo, map[string]string{"bad/model.yaml": "task: none of these\n"})
	out, _, status := finished(t, command(t, repo, "models", "list"))
	if status != 0 || strings.Contains(out, "\x1b") || !strings.Contains(out, "colors               classification  1 2          model.yaml") {
		t.Errorf("%d\n%s", status, out)
	}
	for _, c := range []struct {
		environment string
		colors      bool
	}{{"TERM=xterm", true}, {"NO_COLOR=1", false}, {"TERM=dumb", false}} {
		cmd := command(t, repo, "models", "list")
		cmd.Env = append(cmd.Env, "TERM=xterm", c.environment)
		text, _ := testenv.OnTerminal(t, cmd, 80)
		if strings.Contains(text, "\x1b[1mNAME\x1b[0m") != c.colors || strings.Contains(text, "\x1b[31mbroken: ") != c.colors || !strings.Contains(text, "colors") {
			t.Errorf("%s: %q", c.environment, text)
		}
	}
	out, _, status = finished(t, command(t, repo, "models", "list", "--json"))
	var list []struct {
		Name, Task, Error string
		Versions          []int
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || status != 0 {
		t.Fatalf("%d %v\n%s", status, err, out)
	}
	found := map[string]string{}
	for _, m := range list {
		text, _ := json.Marshal(m.Versions)
		found[m.Name] = m.Task + " " + string(text) + " " + m.Error
	}
	if found["colors"] != "classification [1,2] " || !strings.Contains(found["bad"], "none of these") || found[model] != "classification [] " {
		t.Errorf("%q", found)
	}
}

func TestJSONOfCommands(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"best.onnx": string(detector())})
	repo := filepath.Join(dir, "models")
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"models add":  {[]string{"models", "add", filepath.Join(dir, "best.onnx"), "--json"}, []string{`"model": "best"`, `"version": 1`, `"task": "detection"`, `"from": "metadata`, `"warnings": [`}},
		"keys new":    {[]string{"keys", "new", "camera", "--json"}, []string{`"name": "camera"`, `"key": "fovea_`, `"hash": "sha256:`}},
		"config":      {[]string{"config", "--json"}, []string{`"address": "127.0.0.1:8000"`, `"max_image_bytes": "16MiB"`, `"max_images": 64`, `"models": []`}},
		"version":     {[]string{"version", "--json"}, []string{`"version": "dev"`, `"go": "go1.`}},
		"models pull": {[]string{"models", "pull", "none", "--json"}, []string{`"model": "none"`, `"error": `}},
	} {
		out, notes, status := finished(t, command(t, repo, c.args...))
		if !json.Valid([]byte(out)) || (status == 0) == (name == "models pull") {
			t.Errorf("%s: %d %s\n%s", name, status, notes, out)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %s in\n%s", name, want, out)
			}
		}
	}
}

// completions are what a shell is offered for a command line.
func completions(t *testing.T, repo string, words ...string) string {
	t.Helper()
	out, notes, status := finished(t, command(t, repo, append([]string{"__complete"}, words...)...))
	if status != 0 {
		t.Fatal(notes)
	}
	return out
}

func TestCompletions(t *testing.T) {
	repo := colorRepository(t, "", colorClassifier(0, 1, 2))
	for _, c := range []struct{ line, want string }{
		{"pre", "predict\tPredict images"},
		{"--repository.dir=" + repo + " predict ", "colors\n"},
		{"--repository.dir=" + repo + " models check ", "colors\n"},
		{"predict colors --enc", "--encoding\t"},
		{"predict colors --encoding ", "rle\npolygon\n"},
		{"--log.format ", "auto\njson\ntext\n"},
		{"models pull ", model + "\n"},
		{"models optimize colors --to ", "int8\nfp16\n"},
		{"completion ", "bash\nzsh\nfish\n"},
	} {
		if out := completions(t, repo, strings.Split(c.line, " ")...); !strings.Contains(out, c.want) {
			t.Errorf("%q: no %q in\n%s", c.line, c.want, out)
		}
	}
}

func TestCompletionScripts(t *testing.T) {
	for shell, check := range map[string]string{"bash": "bash -n", "zsh": "zsh -n", "fish": "fish --no-execute"} {
		script, notes, status := finished(t, command(t, t.TempDir(), "completion", shell))
		if status != 0 || !strings.Contains(script, "__complete") {
			t.Errorf("%s: %d %s", shell, status, notes)
			continue
		}
		words := strings.Fields(check)
		if _, err := exec.LookPath(words[0]); err != nil {
			continue
		}
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", check, err, out)
		}
	}
	if _, notes, status := finished(t, command(t, t.TempDir(), "completion", "tcsh")); status != 1 || !strings.Contains(notes, "tcsh") {
		t.Errorf("another shell: %d %s", status, notes)
	}
}

package main

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fovea/internal/testenv"
)

// clientExample is a block of code of docs/clients.md.
type clientExample struct{ section, language, code string }

// keyed are the lines of an example that a server without API keys does not need.
var keyed = regexp.MustCompile(`(?m)^.*KEY.*\n`)

// clientExamples reads the page: how the server is started, and the examples.
func clientExamples(t *testing.T) (setup, examples []clientExample) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	section := ""
	for _, m := range regexp.MustCompile("(?ms)^## ([^\n]+)$|^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		switch {
		case m[1] != "":
			section = m[1]
		case section == "":
			setup = append(setup, clientExample{section, m[2], m[3]})
		default:
			examples = append(examples, clientExample{section, m[2], m[3]})
		}
	}
	if len(setup) != 2 || len(examples) != 10 {
		t.Fatalf("the page has %d blocks before its sections and %d in them; want 2 and 10", len(setup), len(examples))
	}
	return setup, examples
}

// clientServer is a server as the page starts it, at free ports.
type clientServer struct{ http, grpc string }

// at returns an example with the server's addresses.
func (s *clientServer) at(code string) string {
	return strings.NewReplacer("127.0.0.1:8000", s.http, "127.0.0.1:8001", s.grpc).Replace(code)
}

// startClientServer starts a server for examples and pages of an origin. command is that of the page, with the folder of its files.
func startClientServer(t *testing.T, command, dir, origin string) *clientServer {
	t.Helper()
	args := strings.Fields(strings.NewReplacer("127.0.0.1:8001", "127.0.0.1:0", "keys.yaml", filepath.Join(dir, "keys.yaml")).Replace(command))
	p := start(t, newRepository(t), append(args[1:], "--http.cors="+origin)...)
	p.waitReady()
	return &clientServer{p.address, p.grpcAddress()}
}

// clientRunner runs an example in a folder with IMAGE.jpg, and returns all that it has written.
type clientRunner func(t *testing.T, dir, code string) (output string, err error)

// clientTest is what examples are run with.
type clientTest struct {
	dir, key      string
	guarded, open *clientServer // with API keys and without
}

// TestClientExamples runs every example of docs/clients.md against a server with API keys, and, without the lines that only such a
// server needs, against one without keys.
func TestClientExamples(t *testing.T) {
	setup, examples := clientExamples(t)
	c := clientTest{dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(c.dir, "IMAGE.jpg"), testenv.Image(t, "coffee.jpg"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.key = clientKey(t, c.dir, setup[0].code)
	page, other := newPageServer(t), newPageServer(t)
	c.guarded = startClientServer(t, setup[1].code, c.dir, page.URL)
	c.open = startClientServer(t, strings.Replace(setup[1].code, "--http.keys=keys.yaml", "", 1), c.dir, page.URL)
	runners := map[string]map[string]clientRunner{"sh": {"sh": runShell}, "python": {"python": runPython}, "go": {"go": runGo},
		"js": {"Node.js": runNode(page.URL), "Chromium": page.run}}
	others := map[string]clientRunner{"Node.js": runNode(other.URL), "Chromium": other.run}
	for i, e := range examples {
		if runners[e.language] == nil {
			t.Errorf("nothing runs the %s of section %s", e.language, e.section)
		}
		for name, run := range runners[e.language] {
			t.Run(e.section+" "+strconv.Itoa(i)+" with "+name, func(t *testing.T) { c.check(t, e, run) })
		}
	}
	for name, run := range others {
		t.Run("in a page of an origin that is not allowed, with "+name, func(t *testing.T) {
			output, err := run(t, c.dir, c.open.at(keyed.ReplaceAllString(examples[len(examples)-1].code, "")))
			if err == nil || !strings.Contains(output, "Failed to fetch") {
				t.Errorf("%v, %s", err, output)
			}
		})
	}
}

// check runs an example against both servers, and without its key against the one that wants it.
func (c *clientTest) check(t *testing.T, e clientExample, run clientRunner) {
	t.Helper()
	t.Setenv("KEY", c.key)
	output, err := run(t, c.dir, c.guarded.at(strings.Replace(e.code, `"KEY";`, `"`+c.key+`";`, 1)))
	checkEspresso(t, "with an API key", output, err)
	t.Setenv("KEY", "")
	plain := keyed.ReplaceAllString(e.code, "")
	output, err = run(t, c.dir, c.open.at(plain))
	checkEspresso(t, "without API keys", output, err)
	output, err = run(t, c.dir, c.guarded.at(plain))
	if err == nil || !regexp.MustCompile(`\b401\b|an API key is required`).MatchString(output) {
		t.Errorf("without the key that the server wants: %v, %s", err, output)
	}
}

// clientKey makes an API key as the page does.
func clientKey(t *testing.T, dir, code string) string {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(dir, "bin", "serve")); err != nil {
		t.Fatal(err)
	}
	output, err := runIn(t, dir, "sh", "-c", code+`echo "KEY is $KEY"`)
	_, key, _ := strings.Cut(output, "KEY is ")
	if err != nil || !strings.HasPrefix(key, "fovea_") {
		t.Fatalf("the page's command made no key: %v, %s", err, output)
	}
	return key
}

// checkEspresso checks the best class that an example prints.
func checkEspresso(t *testing.T, what, output string, err error) {
	t.Helper()
	score, _ := strconv.ParseFloat(regexp.MustCompile(`\b0\.\d+`).FindString(output), 64)
	if err != nil || !regexp.MustCompile(`\b(espresso|967)\b`).MatchString(output) || math.Abs(score-0.95) > 0.015 { // kernels differ from one CPU to the next
		t.Errorf("%s: %v; printed\n%s\nwant espresso, which is class 967, with a score of 0.95", what, err, output)
	}
}

// runIn runs a program in a folder for at most five minutes, and returns what it has written to both of its outputs.
func runIn(t *testing.T, dir, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "FOVEA_") }) // not configuration of serve
	output, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(output)), err
}

func runShell(t *testing.T, dir, code string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skipf("curl is not installed: %v", err)
	}
	return runIn(t, dir, "sh", "-c", code)
}

// runPython runs code with FOVEA_CLIENTS_PYTHON, which must have its packages, or else with python3, if that has them.
func runPython(t *testing.T, dir, code string) (string, error) {
	t.Helper()
	python, isSet := os.LookupEnv("FOVEA_CLIENTS_PYTHON")
	if !isSet {
		python = "python3"
	}
	imports := strings.Join(regexp.MustCompile(`(?m)^import .*$`).FindAllString(code, -1), "\n")
	if output, err := runIn(t, dir, python, "-c", imports); err != nil {
		message := "FOVEA_CLIENTS_PYTHON names a Python with the packages; " + python + ": " + err.Error() + " " + output[strings.LastIndexByte(output, '\n')+1:]
		if isSet {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	return runIn(t, dir, python, "-c", code)
}

func runGo(t *testing.T, dir, code string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	return runIn(t, dir, "go", "run", file)
}

// runNode returns a runner of scripts of pages with an origin, in Node.js, with the rules of CORS.
func runNode(origin string) clientRunner {
	return func(t *testing.T, dir, code string) (string, error) {
		t.Helper()
		if output, err := runIn(t, dir, "node", "-e", "new Request('http://localhost')"); err != nil {
			t.Skipf("Node.js 18 or newer is not installed: %v %s", err, output)
		}
		file := filepath.Join(t.TempDir(), "example.js")
		if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("ORIGIN", origin)
		return runIn(t, dir, "node", filepath.Join(testenv.Root(t), "cmd", "serve", "testdata", "clients", "cors.js"), file, "IMAGE.jpg")
	}
}

package peers

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fovea/internal/testenv"
)

func TestSelectCells(t *testing.T) {
	for _, test := range []struct {
		name, patterns, want string
	}{
		{"one", "classifier/small", "classifier/small"},
		{"a model, once", "yolox/*,yolox/hd", "yolox/small yolox/hd yolox/12mp"},
		{"a size", "*/hd", "classifier/hd mobilenet/hd yolox/hd"},
	} {
		got, err := selectCells(test.patterns)
		if err != nil || strings.Join(names(got), " ") != test.want {
			t.Errorf("%s: got %v and %v, want %s", test.name, names(got), err, test.want)
		}
	}
	if all, err := selectCells(""); err != nil || len(all) != 9 {
		t.Errorf("got %v and %v, want nine", names(all), err)
	}
	for _, patterns := range []string{"resnet/hd", "[", "yolox/small,"} {
		if _, err := selectCells(patterns); err == nil {
			t.Errorf("%q names cells", patterns)
		}
	}
}

func TestSelectServers(t *testing.T) {
	got, err := selectServers("bentoml,fovea")
	if err != nil || len(got) != 2 || got[0].key != "bentoml" || got[1].key != "fovea" {
		t.Errorf("got %+v and %v", got, err)
	}
	if _, err := selectServers("triton"); err == nil {
		t.Error("an unknown server was taken")
	}
}

func TestCheckReportsEverythingMissing(t *testing.T) {
	dir := t.TempDir()
	o := Options{Serve: filepath.Join(dir, "serve"), Models: dir, Python: filepath.Join(dir, "python"), Servers: dir, Images: dir}
	err := o.check(cells()[:1])
	if err == nil {
		t.Fatal("nothing is missing")
	}
	for _, key := range []string{"serve: ", "python: ", "models: ", "images: ", "rounds: "} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%q is not reported: %v", key, err)
		}
	}
}

func TestEnvironmentOverridesDefaults(t *testing.T) {
	t.Setenv("PEER_THREADS", "7")
	o := Options{Models: "/models"}
	env := o.environment(servers[1], cells()[0], 9000)
	last := func(key string) string {
		value := ""
		for _, e := range env { // the last one counts, as in os/exec
			if v, ok := strings.CutPrefix(e, key+"="); ok {
				value = v
			}
		}
		return value
	}
	if last("PEER_THREADS") != "7" || last("PEER_WORKERS") == "" || last("PEER_MODEL") != "/models/efficientnet-lite0" || last("PEER_PORT") != "9000" {
		t.Errorf("got %v", slices.DeleteFunc(env, func(e string) bool { return !strings.HasPrefix(e, "PEER_") }))
	}
}

// TestPeersProgramsCompile compiles the programs without running them: the peers are not installed here.
func TestPeersProgramsCompile(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(testenv.Root(t), "tools", "bench", "peers", "servers", "*.py"))
	if err != nil || len(paths) < 5 {
		t.Fatalf("found %v: %v", paths, err)
	}
	const compile = "import sys\nfor p in sys.argv[1:]: compile(open(p, encoding='utf-8').read(), p, 'exec')"
	if out, err := exec.Command("python3", append([]string{"-c", compile}, paths...)...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

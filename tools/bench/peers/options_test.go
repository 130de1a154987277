package peers

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fovea/internal/testenv"
	"fovea/loadtest"
)

func TestSelectCells(t *testing.T) {
	for _, test := range []struct {
		name, patterns, want string
	}{
		{"one", "classifier/small/raw", "classifier/small/raw"},
		{"both forms", "classifier/small", "classifier/small/raw classifier/small/multipart"},
		{"a model and form, once", "yolox/*/raw,yolox/hd/raw", "yolox/small/raw yolox/hd/raw yolox/12mp/raw"},
		{"a size", "*/hd/raw", "classifier/hd/raw mobilenet/hd/raw mobilenet-exact/hd/raw yolox/hd/raw"},
	} {
		got, err := selectCells(test.patterns)
		if err != nil || strings.Join(names(got), " ") != test.want {
			t.Errorf("%s: got %v and %v, want %s", test.name, names(got), err, test.want)
		}
	}
	if all, err := selectCells(""); err != nil || len(all) != 24 {
		t.Errorf("got %v and %v, want 24", names(all), err)
	}
	for _, patterns := range []string{"resnet/hd", "[", "yolox/small,", "yolox", "yolox/small/json"} {
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

func TestServersTakeTheBodiesThatTheirUsersSend(t *testing.T) {
	for form, want := range map[loadtest.BodyKind]string{
		loadtest.Raw: "fovea fastapi bentoml mosec", loadtest.Multipart: "fovea fastapi litserve bentoml",
	} {
		c := cell{benchModels[0], "small", "250×200", form}
		var keys []string
		for _, s := range c.competing(servers) {
			keys = append(keys, s.key)
		}
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("%s: got %s, want %s", form, got, want)
		}
	}
}

// TestPlaceAlternates checks that in each round every server has one turn, and that over all rounds each precedes each other one
// as often as it follows it.
func TestPlaceAlternates(t *testing.T) {
	const n, rounds = 4, 8
	var before [n][n]int
	for round := range rounds {
		var order []int
		for i := range n {
			s := place(round, i, n)
			for _, earlier := range order {
				before[earlier][s]++
			}
			order = append(order, s)
		}
		if slices.Sort(order); !slices.Equal(order, []int{0, 1, 2, 3}) {
			t.Errorf("round %d has the servers %v", round, order)
		}
	}
	for a := range n {
		for b := range a {
			if before[a][b] != rounds/2 || before[b][a] != rounds/2 {
				t.Errorf("%d precedes %d in %d rounds and follows it in %d", a, b, before[a][b], before[b][a])
			}
		}
	}
}

// TestExactCellsAskAllServersForExactSums: products saturate in the others.
func TestExactCellsAskAllServersForExactSums(t *testing.T) {
	for _, c := range cells() {
		env := (&Options{}).environment(servers[1], c, 1)
		if got := slices.Contains(env, "PEER_EXACT_INT8=1"); got != c.exact {
			t.Errorf("%s: a peer is asked for exact sums: %t", c.name(), got)
		}
		if got := slices.Contains(foveaCommand(Options{}, c, 1), "--inference.saturating_int8=false"); got != c.exact {
			t.Errorf("%s: Fovea is asked for exact sums: %t", c.name(), got)
		}
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

package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"fovea/inference"

	"github.com/spf13/pflag"
)

// given parses flags as the program would.
func given(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	addFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return flags
}

func TestGoodConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if _, err := load(file, nil, given(t)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestTheFileSetsEveryKey(t *testing.T) {
	got, err := load("testdata/good/all.yaml", nil, given(t))
	if err != nil {
		t.Fatal(err)
	}
	usual := keys(defaults())
	for i, k := range keys(got) {
		if reflect.DeepEqual(k.value, usual[i].value) {
			t.Errorf("%s is still %v", k.path, k.value)
		}
	}
	want := []inference.ModelConfig{{Name: "one", Required: true}, {Name: "two"}}
	if !reflect.DeepEqual(got.Inference.Models, want) {
		t.Errorf("inference.models: %+v", got.Inference.Models)
	}
}

// Each bad file has a text beside it: a line is a part of the message.
func TestBadConfigurationsAreToldAllAtOnce(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		wanted, err := os.ReadFile(strings.TrimSuffix(file, "yaml") + "txt")
		if err != nil {
			t.Fatal(err)
		}
		_, err = load(file, nil, given(t))
		if err == nil {
			t.Errorf("%s is taken", file)
			continue
		}
		for want := range strings.Lines(string(wanted)) {
			if want = strings.TrimSpace(want); !strings.Contains(err.Error(), want) {
				t.Errorf("%s: no %q in\n%v", file, want, err)
			}
		}
	}
}

func TestFlagsAreStrongerThanTheEnvironmentAndThatThanTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "serve.yaml")
	if err := os.WriteFile(file, []byte("http: {max_images: 1, max_requests: 1, address: 'a:1'}\nlog: {level: error}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := []string{"FOVEA_HTTP_MAX_REQUESTS=2", "FOVEA_HTTP_ADDRESS=b:2", "FOVEA_LOG_LEVEL=", "OTHER=x", "FOVEA_ORT_LIBRARY=x", "FOVEA_TEST_X=y",
		"FOVEA_PORT=tcp://10.0.0.1:80", "FOVEA_PORT_80_TCP_ADDR=10.0.0.1", "FOVEA_SERVICE_HOST=10.0.0.1"}
	got, err := load(file, environment, given(t, "--http.address=c:3"))
	if err != nil {
		t.Fatal(err)
	}
	if h := got.HTTP; h.MaxImages != 1 || h.MaxRequests != 2 || h.Address != "c:3" || h.Timeout != defaults().HTTP.Timeout {
		t.Errorf("%+v", h)
	}
	if got.Log.Level != "error" {
		t.Errorf("an empty variable sets log.level to %q", got.Log.Level)
	}
}

func TestEveryKeyCanBeSetByVariableAndByFlag(t *testing.T) {
	file, err := load("testdata/good/all.yaml", nil, given(t))
	if err != nil {
		t.Fatal(err)
	}
	file.Inference.Models = []inference.ModelConfig{{Name: "one", Required: true}, {Name: "two"}}
	var environment, args []string
	for _, k := range keys(file) {
		text := strings.TrimSuffix(strings.TrimPrefix(printed(k.value), "["), "]")
		environment = append(environment, k.variable()+"="+text)
		args = append(args, "--"+k.path+"="+text)
	}
	for name, from := range map[string]func() (Config, error){
		"environment": func() (Config, error) { return load("", environment, given(t)) },
		"flags":       func() (Config, error) { return load("", nil, given(t, args...)) },
	} {
		if got, err := from(); err != nil || !reflect.DeepEqual(got, file) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", name, err, got, file)
		}
	}
}

func TestMistakesOfEverySource(t *testing.T) {
	_, err := load("testdata/bad/all_at_once.yaml", []string{"FOVEA_HTTP_ADDRESS_=x", "FOVEA_HTTP_MAX_IMAGES=many"}, given(t, "--inference.models=a,b:optional"))
	for _, want := range []string{"http.adress: unknown key", "FOVEA_HTTP_ADDRESS_ is no key", "http.max_images", `"b:optional" is neither NAME nor NAME:required`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if _, err := load("testdata/none.yaml", nil, given(t)); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a file that there isn't: %v", err)
	}
}

func TestEveryKeySaysWhatItIsFor(t *testing.T) {
	for _, k := range keys(defaults()) {
		if k.usage == "" {
			t.Errorf("%s says nothing", k.path)
		}
	}
}

package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"fovea/inference"
	"fovea/internal/config"

	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the golden files")

func loaded(file string, environment []string, args ...string) (Config, error) {
	cfg := defaults()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(flags, cfg)
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	err := config.Load(&cfg, config.Sources{File: file, Environment: environment, Flags: flags})
	return cfg, err
}

func TestGoodConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if _, err := loaded(file, nil); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Each bad file comes with a text file: the errors it causes.
func TestBadConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if _, err = loaded(file, nil); err == nil {
			t.Errorf("%s is accepted", file)
			continue
		}
		golden(t, strings.TrimSuffix(file, "yaml")+"txt", strings.ReplaceAll(err.Error(), filepath.Dir(file)+"/", "")+"\n")
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != got {
		t.Errorf("%s (go test -update writes it): %v\ngot\n%s\nwant\n%s", file, err, got, want)
	}
}

func TestHelpAndConfigAreGolden(t *testing.T) {
	for file, args := range map[string][]string{
		"testdata/help.txt":    {"--help"},
		"testdata/config.yaml": {"config", "--config", "testdata/good/all.yaml"},
	} {
		var stdout, stderr bytes.Buffer
		if err := run(t.Context(), args, &stdout, &stderr); err != nil || stderr.Len() > 0 {
			t.Errorf("%v, %s", err, stderr.String())
		}
		golden(t, file, stdout.String())
	}
}

func TestEverySourceSetsEveryKey(t *testing.T) {
	want, err := loaded("testdata/good/all.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	models := []inference.ModelConfig{{Name: "one", Required: true}, {Name: "two"}}
	if !reflect.DeepEqual(want.Inference.Models, models) {
		t.Errorf("inference.models: %+v", want.Inference.Models)
	}
	var environment, args []string
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(flags, want) // with the file's values as defaults
	byDefault := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(byDefault, defaults())
	flags.VisitAll(func(f *pflag.Flag) {
		if f.DefValue == byDefault.Lookup(f.Name).DefValue {
			t.Errorf("testdata/good/all.yaml does not set %s", f.Name)
		}
		if strings.Trim(f.Usage, " []") == "" {
			t.Errorf("%s has no help", f.Name)
		}
		environment = append(environment, config.Variable(f.Name)+"="+f.DefValue)
		args = append(args, "--"+f.Name+"="+f.DefValue)
	})
	for name, from := range map[string]func() (Config, error){
		"environment": func() (Config, error) { return loaded("", environment) },
		"flags":       func() (Config, error) { return loaded("", nil, args...) },
		"what config prints": func() (Config, error) {
			var text bytes.Buffer
			file := filepath.Join(t.TempDir(), "serve.yaml")
			if err := config.Write(&text, want); err != nil {
				return want, err
			}
			if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
				return want, err
			}
			return loaded(file, nil)
		},
	} {
		if got, err := from(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", name, err, got, want)
		}
	}
}

func TestPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "serve.yaml")
	if err := os.WriteFile(file, []byte("http: {max_images: 1, max_requests: 1, address: 'a:1'}\nlog: {level: error}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := []string{"FOVEA_HTTP_MAX_REQUESTS=2", "FOVEA_HTTP_ADDRESS=b:2", "FOVEA_LOG_LEVEL=", "OTHER=x", "FOVEA_ORT_LIBRARY=x", "FOVEA_TEST_X=y",
		"FOVEA_PORT=tcp://10.0.0.1:80", "FOVEA_PORT_80_TCP_ADDR=10.0.0.1", "FOVEA_SERVICE_HOST=10.0.0.1"}
	got, err := loaded(file, environment, "--http.address=c:3", "--inference.cuda.no_tf32")
	if err != nil {
		t.Fatal(err)
	}
	if h := got.HTTP; h.MaxImages != 1 || h.MaxRequests != 2 || h.Address != "c:3" || h.Timeout != defaults().HTTP.Timeout || !got.Inference.CUDA.NoTF32 {
		t.Errorf("%+v", h)
	}
	if got.Log.Level != "error" {
		t.Errorf("an empty variable sets log.level to %q", got.Log.Level)
	}
}

func TestErrorsOfEverySourceAreReportedTogether(t *testing.T) {
	_, err := loaded("testdata/bad/all_at_once.yaml", []string{"FOVEA_HTTP_ADDRESS_=x", "FOVEA_HTTP_MAX_IMAGES=many"}, "--inference.models=a,b:optional", "--http.max_requests=0")
	for _, want := range []string{"testdata/bad/all_at_once.yaml:2:3: http.adress: unknown key", "FOVEA_HTTP_ADDRESS_: is not a configuration key",
		`FOVEA_HTTP_MAX_IMAGES: "many" is not a whole number`, `--inference.models: "b:optional" is neither NAME nor NAME:required`,
		"--http.max_requests: 0 is out of range (1–1048576)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	if _, err := loaded("testdata/none.yaml", nil); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a file that does not exist: %v", err)
	}
}

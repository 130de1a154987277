package config

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// sample has a key of every kind.
type sample struct {
	Name   string            `yaml:"name" help:"a name"`
	Level  string            `yaml:"level" help:"how much" oneof:"low,high"`
	Web    web               `yaml:"web"`
	Flat   flat              `yaml:",inline"`
	Env    map[string]string `yaml:"env"`
	Ignore int               `yaml:"-"`
}

type web struct {
	Count   int           `yaml:"count" help:"images a request" range:"1..4096" short:"c"`
	Limit   Size          `yaml:"limit" help:"bytes" range:"1B..1GiB"`
	Timeout time.Duration `yaml:"timeout" help:"time" range:"1ms..1h"`
	Share   float64       `yaml:"share" help:"a share" range:">0..1"`
	On      bool          `yaml:"on" help:"a switch"`
}

func (w web) Check(errs *Errors) {
	if w.Count == 13 {
		errs.Add("count", "13: %w", errUnlucky)
	}
}

type flat struct {
	Rates []float64 `yaml:"rates" help:"rates" range:"0..10"`
	Seed  uint64    `yaml:"seed" help:"a seed"`
	Set   words     `yaml:"set" help:"words"`
}

// words is a type that reads its own text.
type words struct{ list []string }

func (w *words) UnmarshalText(text []byte) error {
	if strings.Contains(string(text), "!") {
		return errors.New("no exclamation, please")
	}
	w.list = strings.Split(string(text), ",")
	return nil
}

func (w words) String() string { return strings.Join(w.list, ",") }

var errUnlucky = errors.New("unlucky")

func defaults() sample {
	return sample{Name: "x", Level: "low", Web: web{Count: 8, Limit: 16 << 20, Timeout: 10 * time.Second, Share: 0.25}, Flat: flat{Seed: 1}}
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func flags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(set, defaults())
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return set
}

func TestEverySourceSetsEveryKey(t *testing.T) {
	want := sample{Name: "some: name", Level: "high", Web: web{2, 3 << 30, time.Minute, 1, true},
		Flat: flat{[]float64{1, 2.5}, 7, words{[]string{"a", "b"}}}}
	texts := map[string]string{"name": want.Name, "level": "high", "web.count": "2", "web.limit": "3GiB", "web.timeout": "1m",
		"web.share": "1", "web.on": "true", "rates": "1, 2.5", "seed": "7", "set": "a,b"}
	want.Web.Limit = 1 << 29
	texts["web.limit"] = "0.5GiB"
	var environment, args []string
	for key, text := range texts {
		environment = append(environment, Variable(key)+"="+text)
		args = append(args, "--"+key+"="+text)
	}
	yaml := "name: 'some: name'\nlevel: high\nweb: {count: 2, limit: 512MiB, timeout: 1m, share: 1, on: true}\nrates: [1, 2.5]\nseed: 7\nset: [a, b]\n"
	for name, from := range map[string]Sources{
		"file": {File: file(t, yaml)}, "environment": {Environment: environment}, "flags": {Flags: flags(t, args...)},
	} {
		got := defaults()
		if err := Load(&got, from); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", name, err, got, want)
		}
	}
}

func TestPrecedence(t *testing.T) {
	from := Sources{
		File:        file(t, "name: file\nlevel: high\nseed: nonsense\nweb: {count: 3}\n"),
		Environment: []string{"FOVEA_LEVEL=low", "FOVEA_SEED=2", "FOVEA_NAME=", "FOVEA_WEB_COUNT=4", "FOVEA_TEST_X=y", "FOVEA_PORT=tcp://10.0.0.1:80", "OTHER=x"},
		Flags:       flags(t, "--web.on", "-c5"),
	}
	got := defaults()
	if err := Load(&got, from); err != nil {
		t.Fatal(err) // the file's seed is not used
	}
	if got.Name != "file" || got.Level != "low" || got.Flat.Seed != 2 || got.Web.Count != 5 || !got.Web.On || got.Web.Share != 0.25 {
		t.Errorf("%+v", got)
	}
}

func TestErrorsOfEverySourceAreReportedTogether(t *testing.T) {
	name := file(t, "nam: x\nweb:\n  count: 9999999\n  share: .nan\n  limit: big\n  timeout: 5\nrates: [1, x]\nlevel:\nset: [a!]\n")
	got := defaults()
	err := Load(&got, Sources{File: name, Environment: []string{"FOVEA_WEB_ONE=1", "FOVEA_WEB_ON=perhaps", "FOVEA_RATES=1,y"}, Flags: flags(t, "--seed=-1")})
	want := []string{
		name + ":1:1: nam: unknown key; allowed here: env, level, name, rates, seed, set, web",
		name + ":3:3: web.count: 9999999 is out of range (1–4096)",
		name + ":4:3: web.share: NaN is out of range (>0–1)",
		name + `:5:3: web.limit: "big" is not a size such as 512KiB, 16MiB or 2GiB`,
		name + `:6:3: web.timeout: "5" is not a duration such as 500ms, 10s or 1m30s`,
		name + ":8:1: level: has no value; give one or remove the key",
		name + ":9:1: set: no exclamation, please",
		"FOVEA_WEB_ONE: is not a configuration key",
		`FOVEA_WEB_ON: "perhaps" is neither true nor false`,
		`FOVEA_RATES: "y" is not a number`,
		`--seed: "-1" is not a whole number above or equal to 0`,
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
}

func TestErrorsKeepTheirCause(t *testing.T) {
	got := defaults()
	err := Load(&got, Sources{Environment: []string{"FOVEA_WEB_COUNT=13"}})
	if !errors.Is(err, errUnlucky) || err.Error() != "FOVEA_WEB_COUNT: 13: unlucky" {
		t.Error(err)
	}
	if err := Load(&got, Sources{File: "none.yaml"}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestErrorsOfListsNameTheElement(t *testing.T) {
	got := defaults()
	err := Load(&got, Sources{File: file(t, "rates: [1, 11, x]")})
	if err == nil || !strings.Contains(err.Error(), ":1:12: rates[1]: 11 is out of range (0–10)\n") || !strings.Contains(err.Error(), `:1:16: rates[2]: "x" is not a number`) {
		t.Errorf("got %v", err)
	}
}

func TestCheck(t *testing.T) {
	if err := Check(defaults()); err != nil {
		t.Error(err)
	}
	bad := defaults()
	bad.Web.Count = 0
	if err := Check(bad); err == nil || err.Error() != "web.count: 0 is out of range (1–4096)" {
		t.Errorf("got %v", err)
	}
	var errs Errors
	Range(&errs, "a", 1, 1, 2)
	Range(&errs, "a", 2, 1, 2)
	errs.OneOf("a", "b", "a", "b")
	if len(errs) > 0 {
		t.Errorf("got %v", errs)
	}
	Range(&errs, "a", 3, 1, 2)
	Range(&errs, "b", Size(1<<10), 1<<20, 2<<20)
	errs.OneOf("c", "", "a", "b")
	if want := "a: 3 is out of range (1–2)\nb: 1KiB is out of range (1MiB–2MiB)\nc: is required: one of a, b"; errs.Error() != want {
		t.Errorf("got %v", errs)
	}
}

func TestBadFiles(t *testing.T) {
	for text, want := range map[string]string{
		"a: [":                    "c.yaml:1:",
		"name: a\nname: b":        "c.yaml:2:1: invalid YAML",
		"name: a\n---\nname: b":   "c.yaml: holds 2 YAML documents; only one is allowed",
		"5":                       "c.yaml: want keys and values",
		"web: 5":                  "c.yaml:1:1: web: want keys and values, not \"5\"",
		"web: {count: [1]}":       "c.yaml:1:7: web.count: want one value, not a list",
		"name: {a: b}":            "name: want one value, not keys and values",
		"name: &a x":              "name: YAML anchors, aliases and tags are not supported",
		"set: {a: b}":             "set: want one value, not keys and values",
		"env: {A: }":              "env.A: has no value",
		"env: 5":                  "env: want keys and values",
		strings.Repeat("[", 40):   "more than 32 levels",
		strings.Repeat("- ", 40):  "more than 32 levels",
		strings.Repeat("? ", 40):  "more than 32 levels",
		strings.Repeat("&a ", 40): "more than 32 levels",
		strings.Repeat("a: ", 40): "more than 32 levels",
		"rates: [" + strings.Repeat("1, ", 40) + "1]": "",
		strings.Repeat("#", MaxFile):                  "",
		strings.Repeat("#", 1+MaxFile):                "has 65537 bytes; the limit is 65536",
		"web:\nname: x":                               "",
		"":                                            "",
	} {
		got := defaults()
		err := Parse([]byte(text), "c.yaml", &got).Err()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1000": 1000, "10B": 10, "1KiB": 1024, "1.5 GiB": 3 << 29, "2TiB": 2 << 40, "9223372036854775807": math.MaxInt64,
		"-1": -1, "": -1, "MiB": -1, "1MB": -1, "NaN": -1, "9000000TiB": -1, "1e30": -1,
	} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); (err == nil) != (want >= 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestFormat(t *testing.T) {
	for want, value := range map[string]any{
		"1h": time.Hour, "5m": 5 * time.Minute, "1m30s": 90 * time.Second, "0s": time.Duration(0), "1h0m1s": time.Hour + time.Second,
		"16MiB": Size(16 << 20), "1025": Size(1025), "1e+06": 1e6, "a,b": []string{"a", "b"}, "true": true,
	} {
		if got := Format(value); got != want {
			t.Errorf("%v is %q, want %q", value, got, want)
		}
	}
}

func TestStrictFiles(t *testing.T) {
	long := strings.Repeat("x", maxText)
	for text, want := range map[string]string{
		"":                          "c.yaml: is empty",
		"web:":                      "web: has no value",
		"name: 12":                  "name: 12 is not text; put it in quotes",
		"name: true":                "name: true is not text",
		"web: {count: '5'}":         `web.count: "5" is text; remove the quotes`,
		"web: {share: '0.5'}":       `web.share: "0.5" is text; remove the quotes`,
		"name: \"a\\nb\"":           "name: contains the control character U+000A",
		"name: |\n  a\u0007\n":      "name: contains the control character U+0007",
		"name: |\n  a\n  b\n":       "",
		"name: " + long:             "",
		"name: x" + long:            "name: has 4097 bytes; the limit is 4096",
		"web: {timeout: '5s'}":      "",
		"web: {share: 1e-3}":        "",
		"rates: 5":                  "",
		"rates: 1,2":                `rates[0]: "1,2" is not a number`,
		"set: [1, a]":               "",
		"set: [[1]]":                "set[0]: want one value",
		"web: {count: 0x10}":        "",
		"web: {count: 99999999999}": "",
	} {
		got := defaults()
		err := ParseStrict([]byte(text), "c.yaml", &got).Err()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

func TestHelp(t *testing.T) {
	help := flags(t).FlagUsages()
	for _, want := range []string{
		`-c, --web.count int          images a request [1–4096] (default 8)`, "--web.limit size         bytes [1B–1GiB] (default 16MiB)",
		"--web.on                 a switch\n", "--web.timeout duration   time [1ms–1h] (default 10s)", "--level string           how much [low|high] (default \"low\")",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("%q is not in\n%s", want, help)
		}
	}
}

func FuzzWrite(f *testing.F) {
	f.Add("a: b", 5, int64(1000), int64(1), 0.5, true, "A", "x,y")
	f.Add("\x00\u2028'\"", -1, int64(1<<40), int64(time.Hour), 1e300, false, "null", "#")
	f.Fuzz(func(t *testing.T, name string, count int, limit, timeout int64, share float64, on bool, env, word string) {
		want := sample{Name: strings.ToValidUTF8(name, ""), Level: "low", Env: map[string]string{strings.ToValidUTF8(env, ""): strings.ToValidUTF8(word, "")},
			Web: web{count, Size(max(limit, 0)), time.Duration(timeout), share, on}}
		want.Flat.Rates, want.Flat.Set = []float64{share}, words{[]string{strings.ToValidUTF8(strings.ReplaceAll(word, "!", ""), "")}}
		if share != share { // NaN equals nothing
			return
		}
		var text bytes.Buffer
		if err := Write(&text, want); err != nil {
			t.Fatal(err)
		}
		var got sample
		err := Parse(text.Bytes(), "c.yaml", &got).Err()
		if text.Len() > MaxFile {
			return
		}
		want.Flat.Set.list = strings.Split(want.Flat.Set.list[0], ",")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\ngot  %+v\nwant %+v\n%s", err, got, want, text.String())
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("name: a\nweb: {count: 1}\nrates: [1, {b: c}]\n"))
	f.Add([]byte("!t &x {<<: *x}"))
	f.Add([]byte("? [x]\n: 1\nset: [[a], ~]\nenv: {a: }\n--- !!x\n"))
	f.Add([]byte("!0000000000000000 00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		for _, read := range []func([]byte, string, any) *Report{Parse, ParseStrict} {
			got := defaults()
			if read(data, "c.yaml", &got).Err() == nil {
				_ = Check(got)
			}
		}
	})
}

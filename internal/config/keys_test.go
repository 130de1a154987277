package config

import (
	"reflect"
	"testing"
	"time"
)

func TestKeys(t *testing.T) {
	type outer struct {
		Shared struct {
			Level string `yaml:"level" oneof:"low,high" help:"how much"`
		} `yaml:",inline"`
		Section struct {
			Wait time.Duration     `yaml:"wait" range:"1s..1m"` // a comment
			Env  map[string]string `yaml:"env"`
		} `yaml:"section"`
		Size    Size     `yaml:"size" range:">0..4KiB"`
		Names   []string `yaml:"names"`
		Ignored string   `yaml:"-"`
		Other   string
	}
	o := outer{Size: 2048, Names: []string{"a", "b"}, Ignored: "x", Other: "y"}
	o.Section.Wait = time.Second
	o.Section.Env = map[string]string{"A": "b"}
	var got [][5]string
	for _, k := range Keys(&o) {
		got = append(got, [5]string{k.Name, k.Type, k.Default, k.Allowed, k.Help})
		if _, ok := k.Owner.FieldByName(k.Field); !ok {
			t.Errorf("%s has no field %s", k.Owner, k.Field)
		}
	}
	want := [][5]string{
		{"level", "string", "", "low, high", "how much"}, {"section.wait", "duration", "1s", "1s to 1m", ""}, {"section.env", "map", "", "", ""},
		{"size", "size", "2KiB", ">0 to 4KiB", ""}, {"names", "list", "a,b", "", ""},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

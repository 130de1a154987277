package gpu

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct{ driver, cuda, want string }{
		"a branch too old, by its branch":      {"535.x", "13.0", "driver 535.x is too old for CUDA 13.0: needs 580 or newer"},
		"a branch too old":                     {"535.161.08", "13.0", "driver 535.161.08 is too old for CUDA 13.0: needs 580 or newer"},
		"the branch before":                    {"575.57.08", "13.1", "driver 575.57.08 is too old for CUDA 13.1: needs 580 or newer"},
		"the right branch, before its minimum": {"580.12", "13.0", "driver 580.12 is too old for CUDA 13.0: needs 580.65.06 or newer"},
		"the minimum":                          {"580.65.06", "13.0", ""},
		"a later release of the branch":        {"580.95.05", "13.2", ""},
		"a newer branch":                       {"590.44.01", "13.0", ""},
		"CUDA 12 at its minimum":               {"525.60.13", "12.9", ""},
		"CUDA 12 just below":                   {"525.60.11", "12.0", "driver 525.60.11 is too old for CUDA 12.0: needs 525.60.13 or newer"},
		"CUDA 11":                              {"418.226.00", "11.8", "driver 418.226.00 is too old for CUDA 11.8: needs 450 or newer"},
		"a CUDA version by its major alone":    {"580.95.05", "13", ""},
		"a CUDA that Fovea does not know":      {"580.95.05", "14.0", "CUDA 14.0: the minimum driver is unknown; known are CUDA 11, 12 and 13"},
		"no CUDA version":                      {"580.95.05", "", `CUDA version: "" is not a version such as 12.4`},
		"no driver version":                    {"latest", "13.0", `driver version: "latest" is not a version such as 12.4`},
		"a negative number is not a version":   {"-1", "13.0", `driver version: "-1" is not a version such as 12.4`},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := Check(c.driver, c.cuda); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestMinDriver(t *testing.T) {
	for cuda, want := range map[string]string{"11.4": "450.80.02", "12.6": "525.60.13", "13.0": "580.65.06"} {
		if got, err := MinDriver(cuda); err != nil || got != want {
			t.Errorf("CUDA %s: %q, %v; want %q", cuda, got, err, want)
		}
	}
}

func TestForwardCompatibilityAllowsOlderDrivers(t *testing.T) {
	old := Driver{Version: "535.161.08", CUDA: "12.2"}
	if err := old.Check("13.0"); err == nil || !strings.Contains(err.Error(), "needs 580 or newer") {
		t.Errorf("driver 535 with its own CUDA library: %v", err)
	}
	lifted := Driver{Version: "535.161.08", CUDA: "13.0"}
	if err := lifted.Check("13.0"); err != nil {
		t.Errorf("driver 535 with the forward compatibility library: %v", err)
	}
	silent := Driver{Version: "580.95.05"}
	if err := silent.Check("13.0"); err != nil {
		t.Errorf("a driver with an unknown CUDA version: %v", err)
	}
	if err := silent.Check("x"); err == nil {
		t.Error("no CUDA version, and no error")
	}
}

func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"580.65.06", "535.x", "13", "", ".", "1..2", "x", "99999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := parseVersion(s)
		if err == nil && (len(v) == 0 || len(v) != strings.Count(s, ".")+1) {
			t.Errorf("%q gives %v", s, v)
		}
		for _, n := range v {
			if n < 0 {
				t.Errorf("%q gives %v", s, v)
			}
		}
	})
}

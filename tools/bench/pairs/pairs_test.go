package pairs

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"fovea/tools/bench/proc"
)

func TestParseVariant(t *testing.T) {
	for text, want := range map[string]Variant{
		"one: bin/serve": {Name: "one", Processes: 1, Program: "bin/serve"},
		"two : 2x pinned GOMAXPROCS=1 A=b bin/serve --inference.workers=1 -v": {Name: "two", Processes: 2, Pinned: true,
			Env: []string{"GOMAXPROCS=1", "A=b"}, Program: "bin/serve", Args: []string{"--inference.workers=1", "-v"}},
		"three: 3x serve": {Name: "three", Processes: 3, Program: "serve"},
	} {
		got, err := ParseVariant(text)
		if err != nil || got.Name != want.Name || got.Processes != want.Processes || got.Pinned != want.Pinned || got.Program != want.Program ||
			strings.Join(got.Env, " ") != strings.Join(want.Env, " ") || strings.Join(got.Args, " ") != strings.Join(want.Args, " ") {
			t.Errorf("%q: got %+v and %v", text, got, err)
		}
	}
	for _, text := range []string{"", "bin/serve", ": bin/serve", "a:", "a: 2x", "a: X=1", "a: --flag", "a: 0x bin/serve", "a: 65x bin/serve", "a: -1x bin/serve"} {
		if v, err := ParseVariant(text); err == nil {
			t.Errorf("%q: got %+v", text, v)
		}
	}
	var list Variants
	if err := list.Set("a: y"); err != nil {
		t.Fatal(err)
	}
	if err := list.Set("a: z"); err == nil || len(list) != 1 {
		t.Errorf("two variants of one name: %v, %v", list, err)
	}
}

// around are ratios with a median, which differ from it by up to a share.
func around(middle, spread float64, n int) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = middle * (1 + spread*(2*float64(i)/float64(n-1)-1))
	}
	return list
}

func TestJudge(t *testing.T) {
	disturbed := func(values []float64) []float64 {
		values[0], values[1] = 0.4, 0.5
		return values
	}
	for _, test := range []struct {
		name            string
		ratios, control []float64
		higher          bool
		fails, blind    bool
	}{
		{"the same", around(1, 0.02, 11), around(1, 0.02, 11), true, false, false},
		{"10 % fewer images, little noise", around(0.9, 0.02, 11), around(1, 0.02, 11), true, true, false},
		{"10 % more images", around(1.1, 0.02, 11), around(1, 0.02, 11), true, false, false},
		{"10 % more CPU time", around(1.1, 0.02, 11), around(1, 0.02, 11), false, true, false},
		{"10 % less CPU time", around(0.9, 0.02, 11), around(1, 0.02, 11), false, false, false},
		{"2 % fewer, below the limit", around(0.98, 0.002, 11), around(1, 0.002, 11), true, false, false},
		{"4 % fewer, hardly any noise", around(0.96, 0.002, 11), around(1, 0.002, 11), true, true, false},
		{"4 % fewer, within limit and noise", around(0.96, 0.03, 11), around(1, 0.03, 11), true, false, false},
		{"10 % fewer, but the new build's turns vary too much", around(0.9, 0.3, 11), around(1, 0.01, 11), true, false, true},
		{"10 % fewer, but the old build's turns vary too much", around(0.9, 0.01, 11), around(1, 0.3, 11), true, false, true},
		{"10 % fewer, but the old build differs from itself as much", around(0.9, 0.01, 11), around(0.9, 0.01, 11), true, false, true},
		{"30 % fewer in much noise", around(0.7, 0.1, 11), around(1, 0.1, 11), true, true, true},
		{"10 % fewer, two rounds disturbed", disturbed(around(0.9, 0.02, 11)), disturbed(around(1, 0.02, 11)), true, true, false},
		{"equal, two rounds disturbed", disturbed(around(1, 0.02, 11)), around(1, 0.02, 11), true, false, false},
	} {
		v := Judge(test.ratios, test.control, test.higher, 0.03)
		if v.Fails != test.fails || v.Blind != test.blind {
			t.Errorf("%s: got %+v, want fails %t, blind %t", test.name, v, test.fails, test.blind)
		}
	}
	// σ = 1.4826 × 0.01; with 16 values 1.96 × 1.2533 × σ / 4.
	values := []float64{0.98, 0.98, 0.98, 0.98, 0.99, 0.99, 0.99, 0.99, 1.01, 1.01, 1.01, 1.01, 1.02, 1.02, 1.02, 1.02}
	if v := Judge(values, values, true, 0.03); math.Abs(v.Noise-1.96*1.2533*1.4826*0.015/4) > 1e-9 || math.Abs(v.Loss) > 1e-9 {
		t.Errorf("got %+v", v)
	}
}

// rounds have a throughput, CPU time and lone latency of each variant.
func roundsOf(n int, old, again, newer Figures) []Round {
	var list []Round
	for range n {
		list = append(list, Round{old, again, newer})
	}
	return list
}

func TestJudgeAllWatchesEveryMetric(t *testing.T) {
	base := Figures{PerSecond: 100, CPUMS: 10, LoneMS: 8}
	for _, test := range []struct {
		name         string
		again, newer Figures
		fails, blind bool
		says         string
	}{
		{"equal builds", base, base, false, false, ""},
		{"fewer images", base, Figures{PerSecond: 90, CPUMS: 10, LoneMS: 8}, true, false, "images/s                              +10.0%"},
		{"more CPU time", base, Figures{PerSecond: 100, CPUMS: 11, LoneMS: 8}, true, false, "CPU time per image                    +10.0%"},
		{"slower alone", base, Figures{PerSecond: 100, CPUMS: 10, LoneMS: 8.8}, true, false, "latency of one request at a time      +10.0%"},
		{"better", base, Figures{PerSecond: 200, CPUMS: 5, LoneMS: 4}, false, false, ""},
		{"a machine that slows down within a round", Figures{PerSecond: 80, CPUMS: 10, LoneMS: 8}, base, false, true, "too noisy"},
	} {
		var out strings.Builder
		fails, blind := JudgeAll(&out, roundsOf(7, base, test.again, test.newer), 0.03)
		if fails != test.fails || blind != test.blind || !strings.Contains(out.String(), test.says) {
			t.Errorf("%s: fails %t, blind %t:\n%s", test.name, fails, blind, out.String())
		}
	}
	var out strings.Builder
	base.LoneMS = 0
	if JudgeAll(&out, roundsOf(3, base, base, base), 0.03); strings.Contains(out.String(), "one request at a time") {
		t.Error("what was not measured is judged")
	}
}

func TestCountersPerRequest(t *testing.T) {
	stat := "42 (a) b) S 1 1 1 0 -1 0 700 0 3 0 150 50 0 0 20 0 1 0 1 1 1"
	s, err := proc.ParseStat([]byte(stat))
	c := countersOf(s)
	if want := (Counters{User: 1.5, System: 0.5, MinorFaults: 700}); err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v and %v, want %+v", c, err, want)
	}
	for _, broken := range []string{"", "42 (a) S 1 2 3", "42 (a) S 1 1 1 0 -1 0 x 0 3 0 150 50 0 0"} {
		if _, err := proc.ParseStat([]byte(broken)); err == nil {
			t.Errorf("%q was read", broken)
		}
	}
	status := "Name:\tserve\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t7\n"
	if valueOf(status, "voluntary_ctxt_switches:") != 12 || valueOf(status, "nonvoluntary_ctxt_switches:") != 7 || valueOf(status, "none:") != 0 {
		t.Error("the switches were misread")
	}
	interrupts := "           CPU0       CPU1\n RES:         10         32   Rescheduling interrupts\n TLB:          1          2   TLB shootdowns 9\n"
	if interruptsOf([]byte(interrupts), "RES") != 42 || interruptsOf([]byte(interrupts), "TLB") != 3 || interruptsOf(nil, "RES") != 0 {
		t.Error("the interrupts were misread")
	}
	if got := per(Counters{User: 1, Migrations: 2}, Counters{User: 3, Migrations: 12}, 10); got.User != 0.2 || got.Migrations != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestSummarizeComparesWithTheFirstVariant(t *testing.T) {
	variants := []Variant{{Name: "a"}, {Name: "b"}}
	rounds := []Round{
		{{PerSecond: 100, P99MS: 10, CPUMS: 10, Counters: Counters{Voluntary: 8}}, {PerSecond: 110, P99MS: 5, CPUMS: 9}},
		{{PerSecond: 100, P99MS: 10, CPUMS: 10, Counters: Counters{Voluntary: 10}}, {PerSecond: 130, P99MS: 5, CPUMS: 9}},
	}
	var out strings.Builder
	Summarize(&out, variants, rounds)
	for _, want := range []string{"| b | 1.200 (1.100 to 1.300) | 0.500 (0.500 to 0.500) | – | 0.900 (0.900 to 0.900) |", "| a | 100.0 |", " 9.00 |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, out.String())
		}
	}
}

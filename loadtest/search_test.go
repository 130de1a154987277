package loadtest

import "testing"

func TestSearchFindsTheHighestRateThatPasses(t *testing.T) {
	for _, test := range []struct {
		name         string
		start, limit float64 // rates up to limit pass
		trials       int     // at most
		none         bool
	}{
		{"the limit is above the start", 10, 137, 12, false},
		{"the limit is the start", 10, 10, 8, false},
		{"the limit is far above", 1, 90_000, 26, false},
		{"the limit is below the start", 100, 7, 12, false},
		{"nothing passes", 100, 0, maxHalvings + 1, true},
		{"everything passes: the search has an end", 100, 1e12, 20, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSearch(test.start, 0.05)
			trials := 0
			for rate, more := s.next(); more; rate, more = s.next() {
				if trials++; trials > test.trials {
					t.Fatalf("more than %d trials", test.trials)
				}
				if s.failed > 0 && rate >= s.failed || rate <= s.passed {
					t.Fatalf("tries %g though %g passed and %g failed", rate, s.passed, s.failed)
				}
				s.tell(rate <= test.limit)
			}
			switch {
			case test.none:
				if s.passed != 0 {
					t.Errorf("found %g", s.passed)
				}
			case s.passed > test.limit || s.failed > 0 && (s.failed <= test.limit || s.failed > s.passed*1.05):
				t.Errorf("passed %g, failed %g, limit %g", s.passed, s.failed, test.limit)
			}
		})
	}
}

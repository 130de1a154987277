package loadtest

// search looks for the highest rate that passes a trial: it doubles the rate until one fails, or halves it until one
// passes, then bisects. It takes trials to be monotonic: where a rate fails, higher ones would too.
type search struct {
	rate      float64 // of the next trial
	passed    float64 // the highest; 0: none yet
	failed    float64 // the lowest; 0: none yet
	least     float64
	most      float64
	precision float64
}

// maxHalvings bounds how far the search goes below where it began.
const maxHalvings = 10

// newSearch begins at start requests a second and stops when its bounds are within precision, a share of the rate.
func newSearch(start, precision float64) *search {
	return &search{rate: start, least: max(start/(1<<maxHalvings), 0.1), most: 1_000_000, precision: precision}
}

// next gives the rate to try; false if the search is over.
func (s *search) next() (rate float64, more bool) {
	switch {
	case s.passed == 0 && s.failed == 0:
		return s.rate, true
	case s.passed == 0:
		s.rate = s.failed / 2
		return s.rate, s.rate >= s.least
	case s.failed == 0:
		s.rate = s.passed * 2
		return s.rate, s.rate <= s.most
	}
	s.rate = (s.passed + s.failed) / 2
	return s.rate, s.failed > s.passed*(1+s.precision)
}

// tell says whether the rate that next gave passed.
func (s *search) tell(passed bool) {
	if passed {
		s.passed = s.rate
	} else {
		s.failed = s.rate
	}
}

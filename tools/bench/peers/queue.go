package peers

import (
	"math/rand/v2"
	"slices"
)

// idealP99 returns the p99 of the time that images spend in an ideal queue, in the unit of service: they arrive at random (Poisson),
// rate times per unit, and cores take them in order of arrival, each for the same time (M/D/c). It simulates 200,000 images,
// always the same.
func idealP99(rate, service float64, cores int) float64 {
	const images = 200_000
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable
	free := make([]float64, cores)     // when each core is free
	spent := make([]float64, 0, images)
	now := 0.0
	for range images {
		now += rng.ExpFloat64() / rate
		first := 0
		for i := range free {
			if free[i] < free[first] {
				first = i
			}
		}
		free[first] = max(now, free[first]) + service
		spent = append(spent, free[first]-now)
	}
	slices.Sort(spent)
	return spent[images*99/100]
}

package batcher

import (
	"testing"
)

// BenchmarkHandle sends images through all steps with runs that take no time, from eight goroutines a core.
func BenchmarkHandle(b *testing.B) {
	for name, rows := range map[string]int{"rows 1": 1, "rows 8": 8} {
		b.Run(name, func(b *testing.B) {
			f := &fakeDevice{quiet: true}
			s := fakeBatcher(b, f, 2, rows, 0)
			b.ReportAllocs()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := ask(b.Context(), s, 1, 0); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			closeAtRest(b, s, f)
		})
	}
}

// Package cores tells how many cores this process may use, which is not GOMAXPROCS after AddProcessor.
package cores

import (
	"math"
	"os"
	"runtime"

	"fovea/internal/cgroup"
)

// count is what the runtime found at startup: the cores in the process's CPU affinity, the CPU limit of its control group, or
// the environment variable GOMAXPROCS. The runtime takes two processors for a limit below two cores; they are no cores.
var count = within(runtime.GOMAXPROCS(0), cgroup.CPULimit())

// within is the number of cores for so many processors and a CPU limit; 0: none.
func within(processors int, limit float64) int {
	if os.Getenv("GOMAXPROCS") != "" || limit == 0 {
		return processors
	}
	return min(processors, int(math.Ceil(limit)))
}

// Count returns the number of cores that this process may use.
func Count() int { return count }

// AddProcessor gives Go one processor (P) more than there are cores, unless the environment variable GOMAXPROCS sets their
// number. A thread in C keeps its processor until Go's monitor thread takes it. With as many runs in C as cores, none would be
// left for a goroutine that reads a request, decodes or responds.
func AddProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(count + 1)
	}
}

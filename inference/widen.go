package inference

import "runtime"

// largestTwice is the size of the largest model whose weights are kept twice without being asked for, in bytes.
const largestTwice = 256 << 20

// widen lets the runs of pictures that are alone in the server have more threads. The version answers meanwhile, and
// goes on as it is when this fails.
func (v *version) widen() {
	threads := v.shared.cfg.threadsAlone(v.found.Size)
	var err error
	for _, s := range v.sessions {
		if err == nil {
			err = s.Widen(threads)
		}
	}
	if err != nil {
		v.shared.log.Warn("a picture alone is answered on one core only", "model", v.model, "version", v.name, "error", err)
	}
}

// threadsAlone are the threads of runs that have the cores to themselves, of a model with weights of size bytes.
func (c Config) threadsAlone(size int64) int {
	switch {
	case c.ThreadsAlone > 0:
		return c.ThreadsAlone
	case size > largestTwice:
		return c.Threads
	}
	return min(c.workers(), runtime.GOMAXPROCS(0))
}

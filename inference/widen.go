package inference

import (
	"path/filepath"
	"runtime"

	"fovea/models"
)

// largestTwice is the size of the largest model whose weights are kept twice without being asked for, in bytes.
const largestTwice = 256 << 20

// widen lets the runs of pictures that are alone in the server have more threads. The version answers meanwhile, and
// goes on as it is when this fails.
func (v *version) widen() {
	threads, err := v.shared.cfg.threadsAlone(v.shared.files, v.path)
	for _, s := range v.sessions {
		if err == nil {
			err = s.Widen(threads)
		}
	}
	if err != nil {
		v.shared.log.Warn("a picture alone is answered on one core only", "model", v.model, "version", v.name, "error", err)
	}
}

// threadsAlone are the threads of runs of the model at path that have the cores to themselves.
func (c Config) threadsAlone(files models.Files, path string) (int, error) {
	if c.ThreadsAlone > 0 {
		return c.ThreadsAlone, nil
	}
	size, err := filesSize(files, filepath.Dir(path))
	if err != nil {
		return 0, err
	}
	if size > largestTwice {
		return c.Threads, nil
	}
	return min(c.workers(), runtime.GOMAXPROCS(0)), nil
}

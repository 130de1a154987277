package docker

import (
	"os"
	"path/filepath"

	"fovea/internal/config"
)

// checkSources looks where the paths of the host lead, as far as they can be seen from here: behind a link may be what
// Validate refuses. What is not there the engine itself refuses.
func (s Spec) checkSources() error {
	var errs config.Errors
	s.checkPaths(&errs, forbiddenTarget)
	return errs.Err()
}

func forbiddenTarget(path string) string {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "" // Not there, or not for us to see.
	}
	if message := forbiddenSource(target); message != "" {
		return message
	}
	if stat, err := os.Stat(target); err == nil && stat.Mode()&(os.ModeSocket|os.ModeDevice|os.ModeNamedPipe) != 0 {
		return path + " is neither a file nor a folder"
	}
	return ""
}

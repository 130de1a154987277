package docker

import (
	"os"
	"path/filepath"

	"fovea/internal/config"
)

// checkSources resolves links in the host's paths, as far as this process can: they may lead to what Validate rejects. Missing
// paths are left to the engine.
func (s Spec) checkSources() error {
	var errs config.Errors
	s.checkPaths(&errs, forbiddenTarget)
	return errs.Err()
}

func forbiddenTarget(path string) string {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "" // missing or not accessible
	}
	if message := forbiddenSource(target); message != "" {
		return message
	}
	if stat, err := os.Stat(target); err == nil && stat.Mode()&(os.ModeSocket|os.ModeDevice|os.ModeNamedPipe) != 0 {
		return path + " is not a file or folder"
	}
	return ""
}

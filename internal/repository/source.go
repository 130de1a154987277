package repository

import (
	"path/filepath"
	"strings"

	"fovea/internal/config"
	"fovea/internal/source"
)

// maxSourceFiles is how many files are fetched in addition to model.onnx.
const maxSourceFiles = maxListed

func (s Source) check(errs *config.Errors) {
	config.Range(errs, "source.version", s.Version, 1, MaxVersion)
	checkFetched(errs, "source", s.URL, s.SHA256, s.Size)
	if s.URL != "" && s.SHA256 == "" {
		errs.Add("source.sha256", "is required with source.url")
	}
	if len(s.Files) > maxSourceFiles {
		errs.Add("source.files", "there are %d files; the limit is %d", len(s.Files), maxSourceFiles)
		return
	}
	seen := map[string]bool{weightsFile: true}
	for i, f := range s.Files {
		key := config.Index("source.files", i)
		checkFetched(errs, key, f.URL, f.SHA256, f.Size)
		if f.SHA256 == "" {
			errs.Add(key+".sha256", "is required")
		}
		if !ValidSourcePath(f.Path) {
			errs.Add(key+".path", "%.100q is not a file in the version's folder", f.Path)
		} else if seen[f.Path] {
			errs.Add(key+".path", "%q is listed twice", f.Path)
		}
		seen[f.Path] = true
	}
}

// checkFetched checks the address, hash and size of a file.
func checkFetched(errs *config.Errors, key, address, hash string, size int64) {
	config.Range(errs, key+".size", config.Size(size), 0, MaxFetched)
	if hash != "" && !sha256Pattern.MatchString(hash) {
		errs.Add(key+".sha256", "%.80q is not 64 lower-case hexadecimal digits", hash)
	}
	if address == "" {
		return
	}
	switch parsed, err := source.Parse(address); {
	case err != nil:
		errs.Add(key+".url", "%v", err)
	case parsed.Scheme == source.Local:
		errs.Add(key+".url", "%.200q is a local path; allowed: https, hf, s3 and oci addresses", address)
	}
}

// MaxFetched is how many bytes the files of a version have that is fetched, in total.
const MaxFetched = maxWeights

// ValidSourcePath reports whether a file of that name may be fetched into the folder of a version: it stays in the folder, none of
// its parts begin with a dot, and it is not that of a download in progress.
func ValidSourcePath(name string) bool {
	if !filepath.IsLocal(name) || filepath.ToSlash(filepath.Clean(name)) != name || len(name) > 255 ||
		strings.ContainsAny(name, "\\:") || config.Unprintable(name, false) != "" {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || strings.HasSuffix(part, PartSuffix) || strings.HasSuffix(part, PartSuffix+"-tag") {
			return false
		}
	}
	return true
}

// PartSuffix is the end of the name of a download in progress.
const PartSuffix = ".part"

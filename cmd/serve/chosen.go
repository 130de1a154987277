package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"fovea/inference"
	"fovea/internal/repository"
)

// chosenVersion is a version of a model that a command is about.
type chosenVersion struct {
	model  string
	number int
	entry  *repository.Entry
}

func (c chosenVersion) version() string { return strconv.Itoa(c.number) }

// String is what messages call it.
func (c chosenVersion) String() string { return fmt.Sprintf("%s version %d", c.model, c.number) }

// found is the version in the repository.
func (c chosenVersion) found() repository.Version {
	i := slices.IndexFunc(c.entry.Versions, func(v repository.Version) bool { return v.Number == c.number })
	return c.entry.Versions[i]
}

// chooseVersions finds the versions of models that are named NAME or NAME/VERSION, or by their path, and has exactly these served.
// Without a version it is the highest that a server would serve.
func chooseVersions(repo *repository.Repository, names []string) (chosen []chosenVersion, models []inference.ModelConfig, err error) {
	numbers := map[string][]int{}
	for _, text := range names {
		name, number := splitVersion(repo, text)
		if !slices.ContainsFunc(models, func(m inference.ModelConfig) bool { return m.Name == name }) {
			more, err := modelsNamed(repo, []string{name})
			if err != nil {
				return nil, nil, err
			}
			name = more[0].Name // not its path
			if slices.ContainsFunc(models, func(m inference.ModelConfig) bool { return m.Name == name }) {
				return nil, nil, fmt.Errorf("%s: another model has the name %s; rename the file or its folder", text, name)
			}
			models = append(models, more...)
		}
		entry, err := repo.Load(name)
		if err != nil {
			return nil, nil, err
		}
		if number, err = findVersion(entry, number); err != nil {
			return nil, nil, err
		}
		if slices.Contains(numbers[name], number) {
			return nil, nil, fmt.Errorf("%s is named twice: compare it with another version or model", text)
		}
		numbers[name] = append(numbers[name], number)
		chosen = append(chosen, chosenVersion{name, number, entry})
	}
	for name, list := range numbers {
		repo.Choose(name, list...)
	}
	return chosen, models, nil
}

// splitVersion splits NAME/VERSION of a model of the repository. The version is 0 if it is not given.
func splitVersion(repo *repository.Repository, text string) (name string, number int) {
	name, version, ok := strings.Cut(text, "/")
	number, err := strconv.Atoi(version)
	if !ok || err != nil || number < 1 || !repository.ValidName(name) {
		return text, 0
	}
	if _, err := os.Stat(filepath.Join(repo.Dir(), name)); err != nil { // a path, or nothing
		return text, 0
	}
	return name, number
}

// findVersion checks that an entry has a version; 0 is the highest that it serves.
func findVersion(entry *repository.Entry, number int) (int, error) {
	var there []string
	for _, v := range entry.Versions {
		if v.Number == number {
			return number, nil
		}
		there = append(there, strconv.Itoa(v.Number))
	}
	served := entry.Serve(nil)
	switch {
	case len(served) == 0:
		return 0, fmt.Errorf("model %s has no weights in %s", entry.Definition.Name, filepath.Join(entry.Dir, "<version>", "model.onnx"))
	case number > 0:
		return 0, fmt.Errorf("model %s has no version %d; it has %s", entry.Definition.Name, number, strings.Join(there, ", "))
	}
	return served[len(served)-1].Number, nil
}

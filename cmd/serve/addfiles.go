package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"fovea/inference"
	"fovea/internal/exporter"
	"fovea/internal/fetch"
	"fovea/internal/fileutil"
	"fovea/internal/repository"
	"fovea/internal/safeyaml"
	"fovea/internal/source"
)

// fetch gets the files into the stage. Those of another source are removed first.
func (a *addition) fetch(ctx context.Context) error {
	note, from := filepath.Join(a.stage, "source"), fmt.Sprintf("%s version %d", a.source.Display(), a.version)
	if before, err := os.ReadFile(note); err != nil || string(before) != from {
		if err := os.RemoveAll(filepath.Join(a.stage, "models")); err != nil {
			return err
		}
	}
	if err := os.WriteFile(note, []byte(from), 0o644); err != nil {
		return err
	}
	for _, name := range []string{"model.yaml", "labels.txt"} { // of an earlier run
		if err := os.Remove(a.staged(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	var err error
	dir := a.staged(strconv.Itoa(a.version))
	if a.fetched, err = fetch.Get(ctx, a.source, fetch.Options{Dir: dir, Beside: a.beside, Progress: a.progress}); err != nil || a.labels == "" {
		return err
	}
	data, err := os.ReadFile(a.labels)
	if err != nil {
		return err
	}
	return fileutil.Replace(filepath.Join(dir, filepath.Base(a.labels)), data, 0o644)
}

// findLabels finds the file that --set labels names: next to the model, or anywhere on this machine.
func (a *addition) findLabels() error {
	key := "labels"
	if a.set["names"] != "" { // as Ultralytics has it
		key = "names"
	}
	name := exporter.LabelsFile(a.set[key])
	if name == "" {
		return nil
	}
	isFile := func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.Mode().IsRegular()
	}
	local := a.source.Scheme == source.Local
	switch folder := filepath.Dir(a.source.Path); {
	case local && (isFile(filepath.Join(folder, name)) || isFile(filepath.Join(a.source.Path, name))) && repository.ValidSourcePath(name):
		a.beside = name
	case isFile(name):
		a.labels, a.set[key] = name, filepath.Base(name)
	case local || !repository.ValidSourcePath(name):
		return fmt.Errorf("--set %s=%s: there is no such file, neither next to the model nor in the current folder", key, name)
	default:
		a.beside = name
	}
	return nil
}

// define writes the definition to the stage: the inferred one, or that of the model that gets a version. With dryRun it is printed.
func (a *addition) define() (*repository.Inferred, error) {
	if a.extends {
		return nil, a.copyDefinition()
	}
	inferred, err := openRepository(filepath.Join(a.stage, "models")).Infer(a.name, a.set)
	if err != nil {
		return nil, askFor(err, "serve models add "+shellQuote(a.text))
	}
	text := writeDefinition(inferred)
	if a.source.Scheme != source.Local {
		pinned := a.fetched.Definition()
		pinned.Version = a.version
		text = append(text, sourceText(pinned)...)
	}
	if a.dryRun {
		if _, err := a.out.Write(text); err != nil {
			return nil, err
		}
	}
	if labels := inferred.Definition.Labels; len(labels) > 0 {
		if err := fileutil.Replace(a.staged("labels.txt"), []byte(strings.Join(labels, "\n")+"\n"), 0o644); err != nil {
			return nil, err
		}
	}
	return inferred, fileutil.Replace(a.staged("model.yaml"), text, 0o644)
}

// copyDefinition copies the definition of the model that gets a version.
func (a *addition) copyDefinition() error {
	definition, err := copyDefinition(a.target(""), a.staged(""))
	if err == nil && a.dryRun {
		_, err = a.out.Write(definition)
	}
	return err
}

// copyDefinition copies the files of a model's folder, also those that links lead to: model.yaml without the list of versions that are
// served, labels, and others that it may name. It returns model.yaml as it is.
func copyDefinition(from, to string) (definition []byte, err error) {
	entries, err := os.ReadDir(from)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return nil, err
	}
	for _, entry := range entries {
		path, copied := filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if entry.Name() != "model.yaml" {
			err = copyFile(path, copied)
		} else if definition, err = os.ReadFile(path); err == nil {
			err = fileutil.Replace(copied, withoutVersions(definition), 0o644)
		}
		if err != nil {
			return nil, err
		}
	}
	return definition, nil
}

// checkFile compares the staged definition with the ONNX file, without loading the model.
func (a *addition) checkFile() error {
	entry, err := openRepository(filepath.Join(a.stage, "models")).Load(a.name)
	if err != nil {
		return err
	}
	f, err := os.Open(a.staged(strconv.Itoa(a.version) + "/" + fetch.ModelFile))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	graph, err := repository.ReadGraph(f, info.Size())
	if err != nil {
		return fmt.Errorf("%s %w", fetch.ModelFile, err)
	}
	if _, err := entry.Definition.Resolve(graph.Inputs, graph.Outputs); err != nil {
		return fmt.Errorf("the definition does not fit the ONNX file: %w", err)
	}
	return nil
}

// check loads the staged model as the server would. inferred is nil for a version of a model that exists.
func (a *addition) check(ctx context.Context, inferred *repository.Inferred) error {
	models := []inference.ModelConfig{{Name: a.name, Required: true}}
	err := withModels(ctx, a.cfg, openRepository(filepath.Join(a.stage, "models")), models, func(engine *inference.Engine, failed error) error {
		if failed == nil {
			for _, m := range engine.Models() {
				if inferred.Knows("input.scale") { // the stage has a model.yaml, which does not say so
					m.Warnings = slices.DeleteFunc(m.Warnings, func(w string) bool { return slices.Contains(m.Doubts, w) })
				}
				if a.loaded = m; !a.json {
					printModel(a.out, m)
				}
			}
		}
		return failed
	})
	if err != nil {
		text := strings.ReplaceAll(err.Error(), filepath.Dir(a.staged("")), a.cfg.Repository.Dir) // where it would be
		return fmt.Errorf("%s is not added, since it does not load: %s", a.name, text)
	}
	return nil
}

// withoutVersions returns a model.yaml without the list of versions that are served, which the stage does not have.
func withoutVersions(data []byte) []byte {
	var document map[string]any
	if err := safeyaml.Unmarshal(data, &document); err != nil || document["versions"] == nil {
		return data // what is wrong with it is reported when it is loaded
	}
	delete(document, "versions")
	other, err := json.Marshal(document) // which is YAML
	if err != nil {
		return data
	}
	return other
}

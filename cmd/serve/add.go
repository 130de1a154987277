package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"fovea/inference"
	"fovea/internal/cli"
	"fovea/internal/exporter"
	"fovea/internal/fetch"
	"fovea/internal/fileutil"
	"fovea/internal/httpserver"
	"fovea/internal/repository"
	"fovea/internal/source"

	"github.com/spf13/cobra"
)

// addition is one run of models add.
type addition struct {
	cfg      Config
	text     string // the source, as given
	name     string
	version  int // 0: not given
	sets     []string
	force    bool
	dryRun   bool
	json     bool
	out      io.Writer // the result
	progress io.Writer

	source  fetch.Source
	set     map[string]string
	labels  string // path of a file with labels that is not next to the model; empty: none
	beside  string // name of a file with labels next to the model; empty: none of another than the usual names
	extends bool   // a version is added to a model that exists
	stage   string // a hidden folder of the repository, in which the model is prepared
	fetched *fetch.Result
	loaded  inference.Status
}

func addCommand() *cobra.Command {
	a := &addition{}
	c := &cobra.Command{
		Use:   "add SOURCE",
		Short: "Add a model to the repository: fetch it, infer its definition, check it",
		Long: "Add a model to the repository. Its definition is inferred from the ONNX file and the files next to it, and written to\n" +
			"model.yaml, whose comments say where each value comes from. The model is loaded and checked before it appears in the\n" +
			"repository. What the files do not say is asked for.\n\nSOURCE is one of " + source.Allowed + ".",
		Example: "  serve models add best.onnx\n  serve models add hf://onnx-community/rtdetr_r50vd --name rtdetr\n" +
			"  serve models add classifier.onnx --set labels=cat,dog --set normalization=imagenet",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if a.cfg, err = configured(c); err != nil {
				return err
			}
			if c.Flags().Changed("version") && (a.version < 1 || a.version > repository.MaxVersion) {
				return fmt.Errorf("models add: --version: %d is out of range (1–%d)", a.version, repository.MaxVersion)
			}
			ctx, stop := cli.WithSignals(c.Context())
			defer stop()
			a.text, a.out, a.progress = args[0], c.OutOrStdout(), c.ErrOrStderr()
			if a.json && a.dryRun {
				return errors.New("models add: --json: give either this or --dry-run, which prints YAML")
			}
			if err := a.run(ctx); err != nil {
				return fmt.Errorf("models add: %w", err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&a.name, "name", "", "the model's name; empty: that of the file or folder")
	c.Flags().IntVar(&a.version, "version", 0, "the version; of a model that exists, a further one, with its definition (default 1)")
	c.Flags().StringArrayVar(&a.sets, "set", nil, "KEY=VALUE of model.yaml, which takes precedence over what is inferred; can be repeated")
	c.Flags().BoolVar(&a.force, "force", false, "replace the model, or with --version that version of it")
	c.Flags().BoolVar(&a.json, "json", false, "print JSON")
	c.Flags().BoolVar(&a.dryRun, "dry-run", false, "print the model.yaml, and add nothing")
	return c
}

// run adds the model. What was fetched for one that was not added is kept in the stage for the next run.
func (a *addition) run(ctx context.Context) (err error) {
	if err := a.prepare(); err != nil {
		return err
	}
	if a.dryRun && a.source.Scheme == source.Local {
		if a.stage, err = os.MkdirTemp("", "fovea-add-"); err != nil {
			return err
		}
	}
	unlock, err := lockStage(a.stage, a.name+" is being added")
	if err != nil {
		return err
	}
	defer unlock()
	defer func() {
		if err == nil && !a.dryRun || a.source.Scheme == source.Local {
			err = errors.Join(err, os.RemoveAll(a.stage))
		} else if err != nil && ctx.Err() == nil {
			_, _ = fmt.Fprintf(a.progress, "what was fetched is kept in %s for the next run\n", a.stage)
		}
	}()
	if err := a.fetch(ctx); err != nil {
		return err
	}
	inferred, err := a.define()
	if err != nil {
		return err
	}
	if a.dryRun {
		return a.checkFile()
	}
	if err := a.check(ctx, inferred); err != nil {
		return err
	}
	if err := a.install(); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(inferred)
	}
	a.report(inferred)
	return nil
}

// printJSON prints the model that was added.
func (a *addition) printJSON(inferred *repository.Inferred) error {
	type value struct {
		Key     string `json:"key"`
		Value   string `json:"value"`
		From    string `json:"from"`
		Assumed bool   `json:"assumed"`
	}
	values := []value{}
	if inferred != nil {
		for _, o := range inferred.Origins {
			values = append(values, value{o.Key, o.Value, o.From, o.Assumed})
		}
	}
	return cli.JSON(a.out, struct {
		Model     string          `json:"model"`
		Version   int             `json:"version"`
		Folder    string          `json:"folder"`
		Task      repository.Task `json:"task"`
		Device    string          `json:"device"`
		Values    []value         `json:"definition"` // what was inferred; none if there was a definition
		Warnings  []string        `json:"warnings"`
		NotServed string          `json:"not_served,omitempty"` // why
	}{a.name, a.version, a.target(""), a.loaded.Task, a.loaded.Device, values, append([]string{}, a.loaded.Warnings...), a.selected()})
}

// lockStage makes a stage and locks it. what says what another process does that has locked it.
func lockStage(dir, what string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	unlock, err = fileutil.TryLock(filepath.Join(dir, "lock"))
	if errors.Is(err, fileutil.ErrLocked) {
		return nil, fmt.Errorf("%s by another process", what)
	}
	return unlock, err
}

// prepare checks what can be checked before anything is fetched.
func (a *addition) prepare() (err error) {
	if a.source, err = fetch.Parse(a.text); err != nil {
		return err
	}
	if a.set, err = parseSets(a.sets); err != nil {
		return err
	}
	if err := errors.Join(exporter.CheckSettings(a.set), a.findLabels()); err != nil {
		return err
	}
	if a.name == "" {
		a.name = nameOfSource(a.source)
	}
	if !repository.ValidName(a.name) {
		return fmt.Errorf("--name: %.140q is not a valid model name: at most 128 letters, digits and . _ -", a.name)
	}
	a.stage = filepath.Join(a.cfg.Repository.Dir, ".add-"+a.name)
	return a.checkExisting()
}

// checkExisting decides what happens to a model that has the name.
func (a *addition) checkExisting() error {
	if _, err := os.Lstat(a.target("")); errors.Is(err, fs.ErrNotExist) {
		a.version = cmp.Or(a.version, 1)
		return nil
	} else if err != nil {
		return err
	}
	exists := func(n int) bool {
		_, err := os.Lstat(a.target(strconv.Itoa(n)))
		return err == nil
	}
	if a.version == 0 {
		if a.force || a.dryRun {
			a.version = 1
			return nil
		}
		next := 1
		for exists(next) {
			next++
		}
		return fmt.Errorf("the repository %s has a model %s; add a version of it with --version %d, replace it with --force, or use another --name",
			a.cfg.Repository.Dir, a.name, next)
	}
	a.extends = true
	switch {
	case exists(a.version) && !a.force && !a.dryRun:
		return fmt.Errorf("model %s has a version %d; use another --version, or replace it with --force", a.name, a.version)
	case len(a.set) > 0:
		return fmt.Errorf("--set does not apply to a version of a model that exists: edit %s", a.target("model.yaml"))
	}
	return nil
}

// target is a path in the model's folder of the repository; staged the one that replaces it.
func (a *addition) target(path string) string {
	return filepath.Join(a.cfg.Repository.Dir, a.name, path)
}

func (a *addition) staged(path string) string { return filepath.Join(a.stage, "models", a.name, path) }

// nameOfSource derives a model's name from that of its file, folder or repository.
func nameOfSource(s fetch.Source) string {
	switch s.Scheme {
	case source.Local:
		if absolute, err := filepath.Abs(s.Path); err == nil {
			return repository.NameOf(absolute)
		}
	case source.HTTPS:
		address, _, _ := strings.Cut(s.Address, "?")
		_, path, _ := strings.Cut(address, "://")
		return repository.NameOf(path)
	}
	return repository.NameOf(s.Repo + "/" + s.Path)
}

// parseSets parses KEY=VALUE arguments.
func parseSets(sets []string) (map[string]string, error) {
	set := map[string]string{}
	for _, text := range sets {
		key, value, ok := strings.Cut(text, "=")
		key = strings.ToLower(key)
		if _, twice := set[key]; twice {
			return nil, fmt.Errorf("--set: %s is given twice", key)
		}
		if !ok || key == "" {
			return nil, fmt.Errorf("--set: %q is not KEY=VALUE, such as input.scale=0.00392", text)
		}
		set[key] = value
	}
	return set, nil
}

// install moves what is staged to its place, at once for those who read the repository.
func (a *addition) install() error {
	part := ""
	if a.extends {
		part = strconv.Itoa(a.version)
	}
	if err := move(a.staged(part), a.target(part), a.force); err != nil {
		return err
	}
	return fileutil.SyncDir(filepath.Dir(a.target(part)))
}

// report says where the definition's values come from, and what to do next.
func (a *addition) report(inferred *repository.Inferred) {
	if inferred != nil {
		_, _ = fmt.Fprintf(a.out, "definition: %s, in %s\n", origin(inferred), a.target("model.yaml"))
		for _, o := range inferred.Origins {
			if !o.Assumed {
				_, _ = fmt.Fprintf(a.out, "  %s: %.100s (%s)\n", o.Key, o.Value, o.From)
			}
		}
		printAssumptions(a.out, inferred)
	}
	_, _ = fmt.Fprintf(a.out, "added %s version %d to %s; ", a.name, a.version, a.cfg.Repository.Dir)
	if !a.printServed() {
		return
	}
	if address, err := httpserver.Reachable(a.cfg.HTTP.Address); err == nil {
		_, _ = fmt.Fprintf(a.out, "try: %s\n", curl(a.cfg.HTTP, address, "/v1/models/"+a.name+"/predict"))
	}
}

// printServed says whether the version that was added is served, and when.
func (a *addition) printServed() bool {
	if selected := a.selected(); selected != "" {
		_, _ = fmt.Fprintf(a.out, "it is not served: %s\n", selected)
		return false
	}
	_, _ = fmt.Fprintln(a.out, "a running server loads it on SIGHUP or after repository.poll")
	return true
}

// selected says which versions are served instead of the one that was added, and why; empty if it is served.
func (a *addition) selected() string {
	entry, err := openRepository(a.cfg.Repository.Dir).Load(a.name)
	if err != nil {
		return ""
	}
	var served []string
	for _, v := range entry.Serve(nil) {
		if v.Number == a.version {
			return ""
		}
		served = append(served, strconv.Itoa(v.Number))
	}
	versions := strings.Join(served, ", ")
	if len(entry.Definition.Versions.Numbers) > 0 {
		return fmt.Sprintf("versions in %s lists %s; add %d", a.target("model.yaml"), versions, a.version)
	}
	return fmt.Sprintf("the latest version is %s; \"versions: all\" in %s serves it as well", versions, a.target("model.yaml"))
}

package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"fovea/internal/fileutil"
	"fovea/internal/repository"
	"fovea/internal/source"
)

// PullOptions select the weights to download and their source.
type PullOptions struct {
	Dir  string // the repository's folder
	Name string // the model; its definition is in Dir, or is a shipped one that is installed there
	// Mirror is a folder or the base of an http or https URL, which is used instead of source.url. It has NAME.onnx, and the files
	// of source.files in NAME/. Empty: no mirror.
	Mirror    string
	Progress  io.Writer         // human-readable lines; nil: none
	Transport http.RoundTripper // nil: one with timeouts
}

// Pull downloads a model's weights to Dir/NAME/VERSION/model.onnx, where VERSION is source.version of its definition, and the files
// of source.files next to it. A file is PATH.part until its size and SHA-256 match the definition; a later Pull resumes it. Existing
// files are kept if they match, and an error otherwise. Pulls of the same model wait for each other.
func Pull(ctx context.Context, o PullOptions) (err error) {
	if !repository.ValidName(o.Name) {
		return fmt.Errorf("%w: %.140q is not a model name", repository.ErrNotFound, o.Name)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("pull %s: %w", o.Name, err)
		}
	}()
	if err := repository.Known(o.Dir, o.Name); err != nil {
		return err
	}
	dir := filepath.Join(o.Dir, o.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := fileutil.Lock(ctx, filepath.Join(dir, ".pull.lock"))
	if errors.Is(err, fileutil.ErrLocked) {
		return fmt.Errorf("another pull is running: %w", err)
	}
	if err != nil {
		return err
	}
	defer unlock()
	if err := repository.Install(o.Dir, o.Name); err != nil {
		return err
	}
	d, err := repository.ReadDefinition(o.Dir, o.Name)
	if err != nil {
		return err
	}
	return o.weights(ctx, d.Source, filepath.Join(dir, strconv.Itoa(d.Source.Version)))
}

// pullItem is a file to pull.
type pullItem struct {
	repository.SourceFile

	mirrored string // its path in a mirror
}

// weights installs the files of a version, model.onnx last: a folder with it is complete.
func (o PullOptions) weights(ctx context.Context, s repository.Source, folder string) error {
	if s.SHA256 == "" {
		return errors.New("the definition has no source.sha256 to verify the weights with")
	}
	var files []pullItem
	for _, f := range s.Files {
		files = append(files, pullItem{f, path.Join(o.Name, f.Path)})
	}
	files = append(files, pullItem{repository.SourceFile{Path: ModelFile, URL: s.URL, SHA256: s.SHA256, Size: s.Size}, o.Name + ".onnx"})
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	t := newTransfer(root, o.Transport, reporter(o.Progress, o.Name+": "))
	defer t.close()
	t.single = true
	missing, err := t.missing(files)
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		t.report("already installed")
		return nil
	}
	for _, f := range missing {
		if err := o.pull(ctx, t, f); err != nil {
			return err
		}
	}
	for _, f := range missing {
		if err := t.finish(f.Path); err != nil {
			return err
		}
	}
	t.report("done: %s", filepath.Join(folder, ModelFile))
	return nil
}

// missing returns the files that are not there. Those that are there must match.
func (t *transfer) missing(files []pullItem) (missing []pullItem, err error) {
	for _, f := range files {
		if _, err := t.root.Stat(f.Path); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = t.verify(f.Path, f.want(), &File{})
			}
			if err != nil {
				return nil, fmt.Errorf("%s exists but does not match the definition; remove it first: %w", filepath.Join(t.root.Name(), f.Path), err)
			}
			continue
		}
		missing = append(missing, f)
	}
	return missing, nil
}

func (f pullItem) want() want { return want{sha256: f.SHA256, size: f.Size, says: "the definition"} }

// pull fetches one file from the mirror or its source.
func (o PullOptions) pull(ctx context.Context, t *transfer, f pullItem) error {
	e, done, err := o.locate(ctx, t, f)
	if err == nil {
		defer done()
		_, err = t.file(ctx, e, f.Path, f.want(), repository.MaxFetched)
	}
	if err != nil && f.Path != ModelFile {
		err = fmt.Errorf("%s: %w", f.Path, err)
	}
	if err != nil && o.Mirror == "" && f.URL != "" {
		return fmt.Errorf("%w; if it is unavailable, use a mirror that has %s", err, f.mirrored)
	}
	return err
}

// locate finds a file in the mirror or its source. The caller calls done after fetching it.
func (o PullOptions) locate(ctx context.Context, t *transfer, f pullItem) (e entry, done func(), err error) {
	nothing := func() {}
	switch {
	case o.Mirror == "" && f.URL == "":
		return entry{}, nil, fmt.Errorf("these weights have no public URL; use a mirror that has %s", f.mirrored)
	case strings.HasPrefix(o.Mirror, "http://"), strings.HasPrefix(o.Mirror, "https://"):
		address := strings.TrimRight(o.Mirror, "/") + "/" + f.mirrored
		return entry{name: f.mirrored, url: address, open: webFile{do: t.client("", "").Do, address: address}.open}, nothing, nil
	case o.Mirror != "":
		at := filepath.Join(o.Mirror, filepath.FromSlash(f.mirrored))
		e = openedFile(at)
		return e, nothing, nil
	}
	src, err := source.Parse(f.URL)
	if err != nil {
		return entry{}, nil, err
	}
	s, err := t.openSource(ctx, src)
	if err != nil {
		return entry{}, nil, err
	}
	if e, err = s.model(src); err == nil && e.pin != nil {
		err = retry(ctx, t.report, nil, func(ctx context.Context) (err error) { e, err = e.pin(ctx); return err })
	}
	if err != nil {
		s.close()
		return entry{}, nil, err
	}
	return e, s.close, nil
}

// Package fetch gets the files of a model from where they are published into a folder: a web server, the Hugging Face Hub, an
// S3-compatible storage, an OCI registry, or this machine. Interrupted downloads are resumed, what is fetched is pinned to a
// revision that does not change, and every file's SHA-256 is checked if it is known and reported if not.
//
// Credentials come from the environment alone and are sent only to the host they are for: HF_TOKEN (with HF_ENDPOINT, if set);
// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION or AWS_DEFAULT_REGION, and AWS_ENDPOINT_URL_S3 or
// AWS_ENDPOINT_URL; and what docker login or oras login saved (DOCKER_CONFIG). They appear in no message and no result.
package fetch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"

	"fovea/internal/repository"
	"fovea/internal/source"
)

// Source is where a model is fetched from.
type Source = source.Source

// Parse parses a source. The error says what is allowed.
func Parse(text string) (Source, error) { return source.Parse(text) }

// ModelFile is the path of the model in the folder that it is fetched to, whatever its name in the source.
const ModelFile = "model.onnx"

// Options say where to and how a model is fetched.
type Options struct {
	Dir      string    // is created if it does not exist; callers must not fetch into a folder concurrently
	Progress io.Writer // human-readable lines; nil: none
	// Expect has the SHA-256 of files, in lower-case hexadecimal, by their path in Dir. A file that differs or that the source does
	// not have is an error.
	Expect    map[string]string
	Beside    string            // a file that is fetched as well if the source has it, such as one with labels; empty: none
	Transport http.RoundTripper // nil: one with timeouts
}

// File is a file that was fetched.
type File struct {
	Path   string // in the folder, with slashes
	Name   string // in the source
	URL    string // its pinned source; empty for local files
	SHA256 string // lower-case hexadecimal
	Size   int64
}

// Result is what was fetched.
type Result struct {
	Source Source // as given
	// Revision is what the source is pinned to, for people: a commit, digest, version or ETag. Empty: it has none.
	Revision string
	Files    []File // model.onnx first, then its external data, then files that describe it
}

// Definition returns the key source of model.yaml that fetches the same files again.
func (r *Result) Definition() repository.Source {
	s := repository.Source{URL: r.Files[0].URL, SHA256: r.Files[0].SHA256, Size: r.Files[0].Size, Version: 1}
	for _, f := range r.Files[1:] {
		s.Files = append(s.Files, repository.SourceFile{Path: f.Path, URL: f.URL, SHA256: f.SHA256, Size: f.Size})
	}
	return s
}

// companions are the files next to a model, or in the root of its source, that describe it.
var companions = repository.SidecarFiles()

// maxCompanion is the size of a file that describes a model.
const maxCompanion = 8 << 20

// Get fetches a model as model.onnx into o.Dir, its external data next to it under the names that it refers to, and files that
// describe it, such as config.json and labels.txt. Files of the same names are replaced, model.onnx last.
//
// The model is the file that the source names. In a repository, folder or prefix it is model.onnx, onnx/model.onnx or
// models/model.onnx, otherwise the only file that ends in .onnx; if there are several, the error lists them.
//
// Until all files are complete and verified they are named PATH.part, from which the next Get resumes.
func Get(ctx context.Context, src Source, o Options) (*Result, error) {
	result, err := get(ctx, src, o)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", src.Display(), err)
	}
	return result, nil
}

func get(ctx context.Context, src Source, o Options) (*Result, error) {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	t := newTransfer(root, o.Transport, reporter(o.Progress, ""))
	defer t.close()
	s, err := t.openSource(ctx, src)
	if err != nil {
		return nil, err
	}
	defer s.close()
	g := &getter{transfer: t, opened: s, expect: o.Expect, beside: o.Beside, result: &Result{Source: src, Revision: s.revision}}
	if err := g.all(ctx, src); err != nil {
		return nil, err
	}
	return g.result, g.install()
}

// getter fetches the files of a model.
type getter struct {
	*transfer
	opened *opened
	expect map[string]string
	beside string
	result *Result
}

func (g *getter) all(ctx context.Context, src Source) error {
	model, err := g.opened.model(src)
	if err != nil {
		return err
	}
	if err := g.one(ctx, model, ModelFile, repository.MaxFetched); err != nil {
		return err
	}
	if err := g.externalData(ctx, model); err != nil {
		return err
	}
	names := companions
	if g.beside != "" && !slices.Contains(companions, g.beside) {
		names = append(slices.Clone(companions), g.beside)
	}
	names = append(slices.Clip(names), g.dictionaries(path.Dir(model.name))...)
	for _, name := range names {
		e, ok := g.opened.find(name, path.Dir(model.name), g.opened.folder, "")
		if !ok || slices.ContainsFunc(g.result.Files, func(f File) bool { return f.Path == name }) {
			continue
		}
		if err := g.one(ctx, e, name, maxCompanion); err != nil {
			return err
		}
	}
	for name := range g.expect {
		if !slices.ContainsFunc(g.result.Files, func(f File) bool { return f.Path == name }) {
			return fmt.Errorf("the source does not have %s, which is expected", name)
		}
	}
	return nil
}

// maxDictionaries is how many dictionaries are fetched with a model.
const maxDictionaries = 8

// dictionaries lists files next to the model that have the characters of one that reads text.
func (g *getter) dictionaries(folder string) (names []string) {
	for _, e := range g.opened.entries {
		if path.Dir(e.name) == folder && repository.IsDictionary(e.name) && len(names) < maxDictionaries {
			names = append(names, path.Base(e.name))
		}
	}
	return names
}

// externalData fetches what the model's weights are in besides model.onnx.
func (g *getter) externalData(ctx context.Context, model entry) error {
	f, err := g.root.Open(g.at(ModelFile))
	if err != nil {
		return err
	}
	defer f.Close()
	locations, err := repository.ExternalData(f, g.result.Files[0].Size)
	if err != nil {
		return fmt.Errorf("%s %w", model.name, err)
	}
	for _, location := range sortedKeys(locations) {
		if !repository.ValidSourcePath(location) || location == ModelFile {
			return fmt.Errorf("%s has weights in %.200q, which cannot be a file next to it; export the model again, with external "+
				"data next to it", model.name, location)
		}
		e, ok := g.opened.find(location, path.Dir(model.name))
		if !ok {
			return fmt.Errorf("%s has weights in %q, which is not next to it in the source", model.name, location)
		}
		if err := g.one(ctx, e, location, repository.MaxFetched); err != nil {
			return fmt.Errorf("%s has weights in %q: %w", model.name, location, err)
		}
		if got := g.result.Files[len(g.result.Files)-1].Size; got < locations[location] {
			return fmt.Errorf("%s has %d bytes, and the model needs %d: it belongs to another model or is incomplete", e.name, got, locations[location])
		}
	}
	return nil
}

// one fetches a file and adds it to the result.
func (g *getter) one(ctx context.Context, e entry, local string, limit int64) error {
	if e.pin != nil {
		if err := retry(ctx, g.report, nil, func(ctx context.Context) (err error) { e, err = e.pin(ctx); return err }); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	if local == ModelFile && e.revision != "" {
		g.result.Revision = e.revision
	}
	w := want{sha256: g.expect[local], size: e.size, says: "the source"}
	if w.sha256 != "" && e.sha256 != "" && w.sha256 != e.sha256 {
		return fmt.Errorf("%s has the SHA-256 %s in the source; want %s", e.name, e.sha256, w.sha256)
	}
	if w.sha256 == "" {
		w.sha256 = e.sha256
	}
	f, err := g.file(ctx, e, local, w, limit)
	if err != nil {
		return fmt.Errorf("%s: %w", e.name, err)
	}
	g.result.Files = append(g.result.Files, f)
	return nil
}

// install renames the parts, the model last, so that a folder with model.onnx is complete.
func (g *getter) install() error {
	for _, f := range slices.Backward(g.result.Files) {
		if err := g.finish(f.Path); err != nil {
			return err
		}
	}
	names := make([]string, len(g.result.Files))
	for i, f := range g.result.Files {
		names[i] = f.Path
	}
	g.report("fetched %s: %.1f MB", strings.Join(names, ", "), megabytes(g.result.Files[0].Size))
	return nil
}

// opened is a source at a revision.
type opened struct {
	revision string
	folder   string  // in which the model is looked for
	entries  []entry // what the source has
	exact    *entry  // the file that the source names; nil: it names a repository or folder
	// sibling returns a file that may exist in a source that cannot be listed. Nil: the entries are all there is.
	sibling func(name string) entry
	expand  func(context.Context) error // finds further entries, by a download; nil: there are none
	closers []func()
}

func (s *opened) close() {
	for _, f := range s.closers {
		f()
	}
}

// entry is a file of a source at its revision.
type entry struct {
	name   string // with slashes
	url    string // pinned
	size   int64  // 0: unknown
	sha256 string // as the source says; empty: unknown
	tag    string // a strong validator, if it is known in advance
	// revision is what the file is pinned to, if the source as a whole has no revision.
	revision string
	open     opener
	pin      func(context.Context) (entry, error) // completes the entry, which costs a request; nil: it is complete
}

// opener opens a file of a source at an offset. tag is the content's from earlier: if the file has another now, the offset is 0 or
// the error is a restartError. If the offset is not supported, that of the content is 0.
type opener func(ctx context.Context, at int64, tag string) (*content, error)

// content is what an opener returns.
type content struct {
	io.ReadCloser
	at   int64  // the offset of the first byte
	size int64  // of the complete file; -1: unknown
	tag  string // a strong validator: equal for equal bytes only; empty: none
}

// openSource finds out what a source has, and at which revision.
func (t *transfer) openSource(ctx context.Context, src Source) (s *opened, err error) {
	err = retry(ctx, t.report, nil, func(ctx context.Context) error {
		switch src.Scheme {
		case source.HTTPS:
			s, err = t.openWeb(src)
		case source.HuggingFace:
			s, err = t.openHub(ctx, src)
		case source.S3:
			s, err = t.openS3(ctx, src)
		case source.OCI:
			s, err = t.openOCI(ctx, src)
		case source.Local:
			s, err = openLocal(src)
		default:
			return &final{fmt.Errorf("%s is not supported", src.Scheme)}
		}
		return err
	})
	if err == nil && s.expand != nil {
		if err = s.expand(ctx); err != nil {
			s.close()
		}
	}
	return s, err
}

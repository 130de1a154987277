package fetch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"

	"fovea/internal/fileutil"
	"fovea/internal/repository"
)

// transfer fetches files into a folder.
type transfer struct {
	root      *os.Root // nothing is written outside
	transport http.RoundTripper
	report    func(format string, args ...any)
	single    bool            // of a source only the file that it names is needed
	left      int64           // bytes that may still be fetched
	close     func()          // closes idle connections
	complete  map[string]bool // files that are in the folder already and match
}

func newTransfer(root *os.Root, transport http.RoundTripper, report func(string, ...any)) *transfer {
	t := &transfer{root: root, transport: transport, report: report, left: repository.MaxFetched, complete: map[string]bool{}, close: func() {}}
	if transport == nil {
		own := newTransport()
		t.transport, t.close = own, own.CloseIdleConnections
	}
	return t
}

// want is what is known of a file before it is fetched.
type want struct {
	sha256 string // empty: unknown
	size   int64  // 0: unknown
	says   string // who says so
}

// at returns where a file is until it is finished.
func (t *transfer) at(local string) string {
	if t.complete[local] {
		return local
	}
	return local + repository.PartSuffix
}

// finish gives a fetched file its name.
func (t *transfer) finish(local string) error {
	if t.complete[local] {
		return nil
	}
	if err := t.root.Rename(local+repository.PartSuffix, local); err != nil {
		return err
	}
	_ = t.root.Remove(tagFile(local + repository.PartSuffix)) // It may not exist.
	t.complete[local] = true
	return fileutil.SyncDir(path.Dir(path.Join(t.root.Name(), local)))
}

// file fetches a file to its part and verifies it. If a part from earlier does not match, it starts over once.
func (t *transfer) file(ctx context.Context, e entry, local string, w want, limit int64) (File, error) {
	f := File{Path: local, Name: e.name, URL: e.url}
	if w.sha256 != "" && t.verify(local, w, &f) == nil {
		t.complete[local] = true
		t.report("%s: already there", local)
		return f, nil
	}
	if dir := path.Dir(local); dir != "." {
		if err := t.root.MkdirAll(dir, 0o755); err != nil {
			return f, err
		}
	}
	limit = min(limit, t.left)
	if w.size > limit {
		return f, fmt.Errorf("has %d bytes; the limit is %d", w.size, limit)
	}
	d := t.download(e, local, w, limit)
	resumed := d.have() > 0
	for {
		if err := d.run(ctx); err != nil {
			return f, err
		}
		err := t.verify(d.part, w, &f)
		if err == nil {
			t.left -= f.Size
			return f, nil
		}
		if err := d.remove(); err != nil {
			return f, err
		}
		if !resumed {
			return f, err
		}
		t.report("%s: the part from earlier does not match; starting over", local)
		resumed = false
	}
}

// download prepares to fetch a file. A part from earlier is kept if it can be resumed: it is of the same content for certain, or
// the file's hash, which is known, will tell.
func (t *transfer) download(e entry, local string, w want, limit int64) *download {
	d := &download{root: t.root, part: local + repository.PartSuffix, open: e.open, address: e.url, want: w, limit: limit}
	d.progress = &progress{report: func(format string, args ...any) { t.report(local+": "+format, args...) }, total: w.size}
	if data, err := t.root.ReadFile(tagFile(d.part)); err == nil {
		var saved savedTag
		if json.Unmarshal(data, &saved) == nil && saved.URL == e.url {
			d.tag = saved.Tag
		}
	}
	if e.tag != "" && d.tag != e.tag {
		d.tag = ""
	}
	return d
}

// verify compares a file with what is known of it, and describes it.
func (t *transfer) verify(name string, w want, to *File) error {
	f, err := t.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, errors.New("is not a regular file"))
	}
	hash := sha256.New()
	if to.Size, err = io.Copy(hash, f); err != nil {
		return err
	}
	if w.size > 0 && to.Size != w.size {
		return fmt.Errorf("it has %d bytes; %s says %d", to.Size, w.says, w.size)
	}
	if to.SHA256 = hex.EncodeToString(hash.Sum(nil)); w.sha256 != "" && to.SHA256 != w.sha256 {
		return fmt.Errorf("its SHA-256 is %s; %s says %s", to.SHA256, w.says, w.sha256)
	}
	return nil
}

// savedTag is what is known of a part when it is resumed by another process.
type savedTag struct{ URL, Tag string }

func tagFile(part string) string { return part + "-tag" }

// remove removes a part and its tag.
func (d *download) remove() error {
	d.tag = ""
	for _, name := range []string{d.part, tagFile(d.part)} {
		if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &final{err}
		}
	}
	return nil
}

// saveTag keeps the tag for the next process, which may resume without it only if the hash is known.
func (d *download) saveTag(tag string) error {
	if tag == d.tag {
		return nil
	}
	d.tag = tag
	if tag == "" {
		if err := d.root.Remove(tagFile(d.part)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &final{err}
		}
		return nil
	}
	data, err := json.Marshal(savedTag{d.address, tag})
	if err == nil {
		err = d.root.WriteFile(tagFile(d.part), data, 0o644)
	}
	if err != nil {
		return &final{err}
	}
	return nil
}

// reporter writes lines with a prefix.
func reporter(w io.Writer, prefix string) func(format string, args ...any) {
	return func(format string, args ...any) {
		if w != nil {
			fmt.Fprintf(w, "%s%s\n", prefix, fmt.Sprintf(format, args...))
		}
	}
}

// orCause replaces an error with the cause of the context's end.
func orCause(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return cmp.Or(context.Cause(ctx), err)
}

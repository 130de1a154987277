package repository

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"fovea/internal/fileutil"
)

// PullOptions select the weights to download and their source.
type PullOptions struct {
	Dir  string // the repository's folder
	Name string // the model; its definition is in Dir, or is a shipped one that is installed there
	// Mirror is a folder or the base of an http or https URL with NAME.onnx, which is used instead of source.url. Empty: no
	// mirror.
	Mirror    string
	Progress  io.Writer         // human-readable lines; nil: none
	Transport http.RoundTripper // nil: one with timeouts
}

// Pull downloads a model's weights to Dir/NAME/VERSION/model.onnx, where VERSION is source.version of its definition. The file
// is model.onnx.part until its size and SHA-256 match the definition; a later Pull resumes it. Existing weights are kept if they
// match, and an error otherwise. Pulls of the same model wait for each other.
func Pull(ctx context.Context, o PullOptions) (err error) {
	if !ValidName(o.Name) {
		return fmt.Errorf("%w: %.140q is not a model name", ErrNotFound, o.Name)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("pull %s: %w", o.Name, err)
		}
	}()
	dir := filepath.Join(o.Dir, o.Name)
	if !isFile(filepath.Join(dir, definitionFile)) {
		if _, err := shippedFolder(o.Name); err != nil {
			return err
		}
	}
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
	if err := install(o.Dir, o.Name); err != nil {
		return err
	}
	t, err := openTree(osFiles{}, o.Dir)
	if err != nil {
		return err
	}
	defer t.Close()
	d, err := load(folder{t, o.Name}, o.Name, dir)
	if err != nil {
		return err
	}
	return o.weights(ctx, d.Source, filepath.Join(dir, strconv.Itoa(d.Source.Version)))
}

// weights installs model.onnx in the folder of a version.
func (o PullOptions) weights(ctx context.Context, source Source, folder string) error {
	if source.SHA256 == "" {
		return errors.New("the definition has no source.sha256 to verify the weights with")
	}
	target := filepath.Join(folder, weightsFile)
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = verify(target, source)
		}
		if err != nil {
			return fmt.Errorf("%s exists but does not match the definition; remove it first: %w", target, err)
		}
		o.report("already installed")
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	part := target + ".part"
	if err := o.fetch(ctx, source, part); err != nil {
		return err
	}
	if err := os.Rename(part, target); err != nil {
		return err
	}
	o.report("done: %s", target)
	return fileutil.SyncDir(folder)
}

// fetch downloads part from the mirror or from source.url and verifies it. If a part from an earlier pull does not match, it
// starts over once.
func (o PullOptions) fetch(ctx context.Context, source Source, part string) error {
	resumed := isFile(part)
	for {
		if err := o.transfer(ctx, source, part); err != nil {
			return err
		}
		err := verify(part, source)
		if err == nil {
			return nil
		}
		if err := os.Remove(part); err != nil {
			return err
		}
		if !resumed {
			return err
		}
		o.report("the part from an earlier pull does not match; starting over")
		resumed = false
	}
}

func (o PullOptions) transfer(ctx context.Context, source Source, part string) error {
	p := &progress{report: o.report, total: source.Size}
	file := o.Name + ".onnx"
	switch {
	case o.Mirror == "" && source.URL == "":
		return fmt.Errorf("these weights have no public URL; use a mirror that has %s", file)
	case o.Mirror == "":
		if err := newDownload(o.Transport, source, part, p).run(ctx, source.URL); err != nil {
			return fmt.Errorf("%w; if it is unavailable, use a mirror that has %s", err, file)
		}
		return nil
	case strings.HasPrefix(o.Mirror, "http://"), strings.HasPrefix(o.Mirror, "https://"):
		return newDownload(o.Transport, source, part, p).run(ctx, strings.TrimRight(o.Mirror, "/")+"/"+file)
	}
	return copyFile(ctx, filepath.Join(o.Mirror, file), part, p)
}

// copyFile copies a mirror folder's file to part.
func copyFile(ctx context.Context, from, part string, p *progress) error {
	in, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not block
	if err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	if _, err := regular(in); err != nil {
		return fmt.Errorf("mirror: %s %w", from, err)
	}
	defer in.Close()
	out, err := os.Create(part)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = in.Close() })() // ends the copy
	_, err = io.Copy(io.MultiWriter(out, p), in)
	return errors.Join(cmp.Or(context.Cause(ctx), err), out.Sync(), out.Close())
}

// verify compares a file with the definition's hash, and its size if there is one.
func verify(path string, source Source) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	if err != nil {
		return err
	}
	if source.Size > 0 && size != source.Size {
		return fmt.Errorf("it has %d bytes; the definition says %d", size, source.Size)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != source.SHA256 {
		return fmt.Errorf("its SHA-256 is %s; the definition says %s", got, source.SHA256)
	}
	return nil
}

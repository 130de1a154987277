package fetch

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"fovea/internal/repository"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxArchived is how many files and folders an archive has. Images of container systems have tens of thousands.
const maxArchived = 100_000

// archive downloads a layer that is an archive, which is removed at the end, and lists its files. A later layer's replace those of
// an earlier one.
func (a *artifact) archive(ctx context.Context, t *transfer, s *opened, layer ocispec.Descriptor) error {
	if !strings.HasPrefix(string(layer.Digest), "sha256:") || layer.Digest.Validate() != nil {
		return fmt.Errorf("a layer has the digest %.100q; want sha256", layer.Digest)
	}
	hash := layer.Digest.Encoded()
	local := ".layer-" + hash
	e := entry{name: "layer " + hash[:12], open: a.blob(layer), url: a.src.String() + " " + hash}
	if _, err := t.file(ctx, e, local, want{sha256: hash, size: layer.Size, says: "the manifest"}, repository.MaxFetched); err != nil {
		return fmt.Errorf("layer %s: %w", hash[:12], err)
	}
	s.closers = append(s.closers, func() {
		_ = t.root.Remove(t.at(local))
		_ = t.root.Remove(tagFile(t.at(local))) // It may not exist.
	})
	r, err := openArchive(ctx, t.root, t.at(local))
	if err != nil {
		return fmt.Errorf("layer %s: %w", hash[:12], err)
	}
	defer r.Close()
	index := map[string]int{} // of entries
	for i, e := range s.entries {
		index[e.name] = i
	}
	for number := 0; ; number++ {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("layer %s: %w", hash[:12], err)
		}
		if number >= maxArchived {
			return fmt.Errorf("layer %s has more than %d files", hash[:12], maxArchived)
		}
		e, ok := a.entry(path.Clean(strings.TrimLeft(header.Name, "/")))
		if !ok || header.Typeflag != tar.TypeReg { // links are not followed
			continue
		}
		e.size, e.open = header.Size, member(t.root, t.at(local), number)
		if i, ok := index[e.name]; ok {
			s.entries[i] = e
			continue
		}
		index[e.name] = len(s.entries)
		s.entries = append(s.entries, e)
	}
}

// archiveReader reads a tar archive, compressed or not.
type archiveReader struct {
	*tar.Reader
	file *os.File
	stop func() bool
}

// Close closes the file.
func (a *archiveReader) Close() error {
	a.stop()
	return a.file.Close()
}

// openArchive opens an archive; the end of the context closes its file.
func openArchive(ctx context.Context, root *os.Root, name string) (*archiveReader, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	buffered := bufio.NewReaderSize(f, 1<<16)
	head, _ := buffered.Peek(4)
	var r io.Reader = buffered
	switch {
	case len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b:
		if r, err = gzip.NewReader(buffered); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	case slices.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return nil, errors.Join(errors.New("is compressed with zstd; push it with gzip or without compression"), f.Close())
	}
	r = io.LimitReader(r, 2*repository.MaxFetched) // of what may be a decompression bomb
	return &archiveReader{tar.NewReader(r), f, context.AfterFunc(ctx, func() { _ = f.Close() })}, nil
}

// member opens a file of an archive by its number.
func member(root *os.Root, name string, number int) opener {
	return func(ctx context.Context, _ int64, _ string) (*content, error) {
		r, err := openArchive(ctx, root, name)
		if err != nil {
			return nil, &final{err}
		}
		var header *tar.Header
		for range number + 1 {
			if header, err = r.Next(); err != nil {
				return nil, &final{errors.Join(err, r.Close())}
			}
		}
		return &content{ReadCloser: r, size: header.Size}, nil
	}
}

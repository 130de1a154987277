package repository

import (
	"io"
	"io/fs"
	"path/filepath"
)

// ExternalData lists the files of external data that an ONNX file of size bytes refers to, by their path relative to it, with the
// bytes that each must have. The error says what the file is if it is another kind of file or truncated.
func ExternalData(r io.ReaderAt, size int64) (map[string]int64, error) {
	file, err := inspect(r, size)
	if err != nil {
		return nil, err
	}
	return file.external, nil
}

// OpenFolder opens a folder with the rule for links of a repository. The caller closes it.
func OpenFolder(dir string) (fs.FS, io.Closer, error) {
	t, err := openTree(osFiles{}, dir)
	if err != nil {
		return nil, nil, err
	}
	return folder{t, "."}, t, nil
}

// ReadDefinition reads a model's definition in dir, a repository. Unlike Repository.Load it does not look at the versions.
func ReadDefinition(dir, name string) (Definition, error) {
	t, err := openTree(osFiles{}, dir)
	if err != nil {
		return Definition{}, err
	}
	defer t.Close()
	return load(folder{t, name}, name, filepath.Join(dir, name))
}

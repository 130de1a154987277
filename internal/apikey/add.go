package apikey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"fovea/internal/fileutil"
)

// fileMode lets a group, such as the server's, read the hashes.
const fileMode = 0o640

// Add appends an entry to a file, which is created if it does not exist. What is in it stays as it is, comments included. The
// file is replaced atomically, so that a running server reads the old content or the new one.
func Add(ctx context.Context, path string, k Key) error {
	unlock, err := fileutil.Lock(ctx, path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	mode := os.FileMode(fileMode)
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		content = []byte("keys:\n")
	case err != nil:
		return err
	default:
		keys, err := Parse(content, path)
		if err != nil {
			return err
		}
		if info, err := os.Stat(path); err == nil {
			mode = info.Mode().Perm()
		}
		if len(keys.List()) == 0 {
			content = bytes.Replace(content, []byte("keys: []"), []byte("keys:"), 1)
		}
	}
	if len(content) > 0 && content[len(content)-1] != '\n' {
		content = append(content, '\n')
	}
	content = append(content, k.Entry()...)
	keys, err := Parse(content, path)
	if err != nil {
		return err
	}
	if list := keys.List(); len(list) == 0 || list[len(list)-1].Hash != k.Hash {
		return fmt.Errorf("%s: the entry cannot be appended, because keys is not the last key; add it by hand:\n%s", path, k.Entry())
	}
	target, err := resolve(path)
	if err != nil {
		return err
	}
	return fileutil.Replace(target, content, mode)
}

// resolve returns the file that a link leads to, which is then replaced instead of the link.
func resolve(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		return path, nil // a file, or none yet
	}
	return filepath.EvalSymlinks(path)
}

// Entry is the entry of the file, as an element of its list.
func (k Key) Entry() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %s\n    hash: %s\n    scopes: [%s]\n", strconv.Quote(k.Name), k.Hash, strings.Join(k.Scopes, ", "))
	if len(k.Models) > 0 {
		models := make([]string, len(k.Models))
		for i, m := range k.Models {
			models[i] = strconv.Quote(m)
		}
		fmt.Fprintf(&b, "    models: [%s]\n", strings.Join(models, ", "))
	}
	if k.Rate != 0 {
		fmt.Fprintf(&b, "    rate: %s\n", strconv.FormatFloat(k.Rate, 'f', -1, 64))
	}
	if k.Burst != 0 {
		fmt.Fprintf(&b, "    burst: %d\n", k.Burst)
	}
	if k.Concurrent != 0 {
		fmt.Fprintf(&b, "    concurrent: %d\n", k.Concurrent)
	}
	return b.String()
}

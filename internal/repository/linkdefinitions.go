package repository

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// LinkDefinitions makes definitions that lie in a folder of the repository in dir, such as a ConfigMap mounted there, those of its
// models: it links each FOLDER/NAME/FILE at NAME/FILE. The links are relative and name the folder, so that they follow its own links
// (..data) when these are switched. FOLDER is relative to dir; its name begins with a dot, since it would be a model otherwise. Links
// that are there already are kept; another file of the same name is an error. It returns the models' names, sorted.
func LinkDefinitions(dir, definitions string) (names []string, err error) {
	if !filepath.IsLocal(definitions) || filepath.Base(definitions) != definitions || !strings.HasPrefix(definitions, ".") || definitions == "." {
		return nil, fmt.Errorf("the folder of definitions must be in the repository and its name begin with a dot: %q", definitions)
	}
	models, err := os.ReadDir(filepath.Join(dir, definitions))
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, model := range models {
		name := model.Name()
		switch {
		case strings.HasPrefix(name, "."):
		case !ValidName(name):
			errs = append(errs, fmt.Errorf("%s: %q is not a valid model name", definitions, name))
		default:
			names = append(names, name)
			errs = append(errs, linkFiles(dir, definitions, name))
		}
	}
	return names, errors.Join(errs...)
}

// linkFiles links the files of one definition into the folder of its model.
func linkFiles(dir, definitions, name string) error {
	files, err := os.ReadDir(filepath.Join(dir, definitions, name))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
		return err
	}
	for _, file := range files {
		target, link := filepath.Join("..", definitions, name, file.Name()), filepath.Join(dir, name, file.Name())
		err := os.Symlink(target, link)
		if errors.Is(err, fs.ErrExist) {
			if there, failed := os.Readlink(link); failed == nil && there == target {
				continue
			}
			err = fmt.Errorf("%s is there already, and is not a link to %s", link, target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

package bulk

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Before is what an earlier run wrote.
type Before struct {
	Done           map[string]bool // names of images with a prediction
	Model, Version string          // of these; empty without any
}

// Resume opens a file of JSON lines to continue it. Predictions stay. Failures are taken out, so that their images are predicted again,
// and so is a last line that is not complete. A file that does not exist is created.
func Resume(path string) (file *os.File, before Before, err error) {
	before.Done = map[string]bool{}
	old, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = os.Create(path)
		return file, before, err
	}
	if err != nil {
		return nil, before, err
	}
	defer old.Close()
	rewritten := path + ".resumed"
	if file, err = os.Create(rewritten); err != nil {
		return nil, before, err
	}
	if err = before.keep(file, old); err == nil {
		err = os.Rename(rewritten, path)
	}
	if err != nil {
		return nil, before, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close(), os.Remove(rewritten))
	}
	return file, before, nil
}

// keep copies the lines that have predictions.
func (b *Before) keep(to io.Writer, from io.Reader) error {
	r, w := bufio.NewReader(from), bufio.NewWriter(to)
	for number := 1; ; number++ {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) { // without an end the line was not written completely
			return w.Flush()
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var found record
		if err := json.Unmarshal(line, &found); err != nil || found.Image == "" {
			return fmt.Errorf("line %d is not one of `serve predict --jsonl`", number)
		}
		if found.Prediction == nil {
			continue
		}
		if b.Model == "" {
			b.Model, b.Version = found.Model, found.Version
		}
		b.Done[found.name()] = true
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
}

// Rest are the inputs that have no prediction yet.
func (b *Before) Rest(inputs []Input) (rest []Input) {
	for _, in := range inputs {
		if !b.Done[in.Name] {
			rest = append(rest, in)
		}
	}
	return rest
}

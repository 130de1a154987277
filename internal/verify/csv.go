package verify

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

const csvClasses = "CSV of classes"

// parseCSV reads lines of file, label and, optionally, score; several lines of a file are its classes. A first line whose names
// include file (or image, filename, path) and label (or class, prediction) orders the columns. A label that is a whole number is a class.
func parseCSV(data []byte) (*Expected, error) {
	reader := csv.NewReader(bytes.NewReader(data))
	reader.FieldsPerRecord, reader.TrimLeadingSpace, reader.ReuseRecord = -1, true, true
	e := &Expected{Format: csvClasses}
	columns := [3]int{0, 1, 2} // file, label, score
	for first := true; ; first = false {
		fields, err := reader.Read()
		switch {
		case errors.Is(err, io.EOF) && len(e.names) == 0:
			return nil, errors.New("has no predictions; " + allowedFormats)
		case errors.Is(err, io.EOF):
			e.sort()
			return e, nil
		case err != nil:
			return nil, fmt.Errorf("is not CSV: %w", err)
		}
		if first {
			if named, ok := csvHeader(fields); ok {
				columns = named
				continue
			}
		}
		line, _ := reader.FieldPos(0)
		if err := e.addRecord(fields, columns); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

// csvHeader finds the columns by the names in the first line.
func csvHeader(fields []string) (columns [3]int, ok bool) {
	for i, names := range [3][]string{{"file", "image", "filename", "file_name", "path"}, {"label", "class", "prediction", "name", "category"},
		{"score", "confidence", "probability"}} {
		columns[i] = slices.IndexFunc(fields, func(f string) bool { return slices.Contains(names, strings.ToLower(strings.TrimSpace(f))) })
	}
	return columns, columns[0] >= 0 && columns[1] >= 0
}

func (e *Expected) addRecord(fields []string, columns [3]int) error {
	column := func(i int) string {
		if at := columns[i]; at >= 0 && at < len(fields) {
			return strings.TrimSpace(fields[at])
		}
		return ""
	}
	file, label := column(0), column(1)
	if file == "" || label == "" {
		return fmt.Errorf("%.80q has no file or no label; want file,label or file,label,score", strings.Join(fields, ","))
	}
	c := Class{-1, label, unknown}
	if n, err := strconv.Atoi(label); err == nil && n >= 0 && n <= maxClass {
		c.Number, c.Label = n, ""
	}
	if text := column(2); text != "" {
		score, err := strconv.ParseFloat(text, 64)
		if err == nil {
			score, err = probability(score)
		}
		if err != nil {
			return fmt.Errorf("the score %.40q is not a number from 0 to 1", text)
		}
		c.Score = score
	}
	a := e.answer(file)
	a.Classes = append(a.Classes, c)
	return nil
}

// sort orders the classes of each image by score, where they have one.
func (e *Expected) sort() {
	for _, a := range e.answers {
		slices.SortStableFunc(a.Classes, func(x, y Class) int { return cmp.Compare(y.Score, x.Score) })
	}
}

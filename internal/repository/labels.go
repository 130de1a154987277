package repository

import (
	"bytes"
	"fmt"
	"strings"

	"fovea/internal/config"
)

// Bounds of a labels file.
const (
	maxLabels     = 100_000
	maxLabelsFile = 8 << 20
)

// ParseLabels reads labels, one a line, the first being class 0. White space around a label, a byte order mark
// and empty lines at the end are left out; an empty line before the last label is an error, because it would be
// a class without a name. Labels may repeat.
func ParseLabels(data []byte) ([]string, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	text := strings.TrimRight(string(data), "\r\n\t ")
	if text == "" {
		return nil, fmt.Errorf("there are no labels; want one a line")
	}
	if n := strings.Count(text, "\n") + 1; n > maxLabels {
		return nil, fmt.Errorf("there are %d labels; allowed: %d", n, maxLabels)
	}
	labels := strings.Split(text, "\n")
	for i, label := range labels {
		label = strings.Trim(label, "\r\t ")
		if label == "" {
			return nil, fmt.Errorf("line %d is empty; want one label a line", i+1)
		}
		if message := config.Unprintable(label, false); message != "" {
			return nil, fmt.Errorf("line %d %s", i+1, message)
		}
		labels[i] = label
	}
	return labels, nil
}

package main

import (
	"fmt"
	"strings"

	"fovea/inference"
)

// printed writes a value as variables and flags do.
func printed(value any) string {
	list, ok := value.([]inference.ModelConfig)
	if !ok {
		return fmt.Sprint(value)
	}
	var words []string
	for _, m := range list {
		if m.Required {
			m.Name += ":required"
		}
		words = append(words, m.Name)
	}
	return strings.Join(words, ",")
}

package main

import (
	"testing"

	"fovea/internal/reference"
)

// TestReference compares docs/reference/loadtest.md with the code.
func TestReference(t *testing.T) {
	reference.Check(t, "reference/loadtest.md", "commands", reference.Commands(rootCommand()))
}

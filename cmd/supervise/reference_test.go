package main

import (
	"testing"

	"fovea/fleet"
	"fovea/internal/reference"
)

// TestReference compares docs/reference/supervise.md with the code.
func TestReference(t *testing.T) {
	reference.Check(t, "reference/supervise.md", "commands", reference.Commands(rootCommand()))
	reference.Check(t, "reference/supervise.md", "keys", reference.Keys(t, fleet.Defaults()))
}

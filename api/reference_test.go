package api

import (
	"testing"

	"fovea/internal/reference"
)

// TestReference compares docs/reference/api.md with the OpenAPI document.
func TestReference(t *testing.T) {
	reference.Check(t, "reference/api.md", "api", reference.API(t, openAPI))
}

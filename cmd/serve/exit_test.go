package main

import (
	"errors"
	"io"
	"testing"

	"fovea/internal/exitcode"
)

func TestExitStatusTellsWhatNoRestartMends(t *testing.T) {
	if got := exitcode.Of(errors.New("device lost")); got != 1 {
		t.Errorf("another error: %d", got)
	}
	if got := exitcode.Of(requiredError(nil)); got != exitcode.Configuration {
		t.Errorf("a required model: %d", got)
	}
	err := run(t.Context(), []string{"config", "--http.address="}, io.Discard, io.Discard)
	if got := exitcode.Of(err); err == nil || got != exitcode.Configuration {
		t.Errorf("a mistake in the configuration: %d, %v", got, err)
	}
}

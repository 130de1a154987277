package main

import (
	"errors"
	"io"
	"testing"
)

func TestExitStatusTellsWhatNoRestartMends(t *testing.T) {
	if got := exitCode(errors.New("device lost")); got != 1 {
		t.Errorf("another error: %d", got)
	}
	if got := exitCode(requiredError(nil)); got != exitConfiguration {
		t.Errorf("a required model: %d", got)
	}
	err := run(t.Context(), []string{"config", "--http.address="}, io.Discard, io.Discard)
	if got := exitCode(err); err == nil || got != exitConfiguration {
		t.Errorf("a mistake in the configuration: %d, %v", got, err)
	}
}

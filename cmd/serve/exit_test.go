package main

import (
	"errors"
	"io"
	"testing"

	"fovea/inference"
	"fovea/internal/exitcode"
	"fovea/internal/repository"
)

func TestExitStatusByKindOfError(t *testing.T) {
	if got := exitcode.Of(errors.New("device lost")); got != 1 {
		t.Errorf("another error: %d", got)
	}
	if got := exitcode.Of(requiredError(nil)); got != exitcode.Configuration {
		t.Errorf("a required model: %d", got)
	}
	if got := exitcode.Of(requiredError([]*inference.LoadError{{Model: "a", Err: repository.ErrUnreadable}})); got != 1 {
		t.Errorf("an unreadable required model: %d", got)
	}
	if got := exitcode.Of(exitcode.ForRestart(errors.New("device lost"))); got != exitcode.Restart {
		t.Errorf("a fault that requires a restart: %d", got)
	}
	err := run(t.Context(), []string{"config", "--http.address="}, io.Discard, io.Discard)
	if got := exitcode.Of(err); err == nil || got != exitcode.Configuration {
		t.Errorf("a configuration error: %d, %v", got, err)
	}
}

package fleet

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"fovea/docker"
)

func TestContainersOfOthersAreNotRemoved(t *testing.T) {
	engine := newFakeEngine()
	for fleet, removed := range map[string]bool{"site": true, "other": false} {
		spec := docker.Spec{Name: "container-of-" + fleet, Labels: map[string]string{docker.LabelOwner: fleet}}
		id, err := engine.Create(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if o := (containerActions{engine, "site"}).remove(t.Context(), remove{ref: id}); o.err != nil || engine.names()[spec.Name] == removed {
			t.Errorf("fleet %s: %+v, left %v", fleet, o, engine.names())
		}
	}
}

func TestNameConflict(t *testing.T) {
	for owner, want := range map[string]endCause{"site": endEngineError, "other": endFatal} {
		engine := newFakeEngine()
		spec := docker.Spec{Name: "container", Labels: map[string]string{docker.LabelOwner: owner}}
		if _, err := engine.Create(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		if o := (containerActions{engine, "site"}).create(t.Context(), create{spec: spec}); o.cause != want || !errors.Is(o.err, docker.ErrConflict) {
			t.Errorf("container of %s: %+v", owner, o)
		}
	}
}

func TestCausesOfEngineErrors(t *testing.T) {
	for err, want := range map[error]endCause{
		docker.ErrUnreachable: endEngineError,
		docker.ErrTimeout:     endEngineError,
		docker.ErrDenied:      endEngineError,
		docker.ErrNoNetwork:   endEngineError,
		docker.ErrNotFound:    endEngineError,
		context.Canceled:      endEngineError,
		fmt.Errorf("%w: %w", docker.ErrNoImage, docker.ErrNotFound): endFatal,
		docker.ErrEngine:   endFailure,
		docker.ErrConflict: endFatal,
		docker.ErrUnsafe:   endFatal,
	} {
		if got := endCauseOf(fmt.Errorf("create: %w", err)); got != want {
			t.Errorf("%v: cause %d, want %d", err, got, want)
		}
	}
}

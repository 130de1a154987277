package apierror

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestFrom(t *testing.T) {
	for err, want := range map[error]Code{
		errors.New("disk full"):                           Internal,
		fmt.Errorf("run: %w", context.DeadlineExceeded):   DeadlineExceeded,
		fmt.Errorf("run: %w", context.Canceled):           Canceled,
		fmt.Errorf("run: %w", New(NotReady, "no model")):  NotReady,
		Wrap(Undecodable, context.Canceled, "truncated"):  Undecodable,
		fmt.Errorf("%w: %w", context.Canceled, errClosed): Draining,
	} {
		if got := From(err); got.Code != want || !errors.Is(got, err) && !errors.Is(err, got) {
			t.Errorf("%v: got %s (%v), want %s", err, got.Code, got, want)
		}
	}
	if From(nil) != nil {
		t.Error("an error for nil")
	}
}

var errClosed = New(Draining, "the server is shutting down")

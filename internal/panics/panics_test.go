package panics

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestPanicBecomesAnErrorWithoutItsStack(t *testing.T) {
	err := fmt.Errorf("load: %w", errors.Join(Catch(func() error { panic("broken") }), errors.New("close")))
	if got := err.Error(); got != "load: panic: broken\nclose" {
		t.Errorf("error is %q", got)
	}
	if got := logged(err); !strings.Contains(got, `error="load: panic: broken`) || !strings.Contains(got, "panics_test.go") {
		t.Errorf("logged %s", got)
	}
	plain := errors.New("plain")
	if !errors.Is(Catch(func() error { return plain }), plain) {
		t.Error("a plain error is not returned as it is")
	}
	if got := logged(plain); !strings.Contains(got, "error=plain") || strings.Contains(got, "stack") {
		t.Errorf("logged %s", got)
	}
}

func logged(err error) string {
	var b strings.Builder
	LogError(slog.New(slog.NewTextHandler(&b, nil)), "failed", err)
	return b.String()
}

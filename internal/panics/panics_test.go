package panics

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestPanicBecomesAnErrorWithoutItsStack(t *testing.T) {
	err := fmt.Errorf("load: %w", errors.Join(Catch(func() error { panic("broken") }), errors.New("close")))
	if got := err.Error(); got != "load: panic: broken\nclose" {
		t.Errorf("error is %q", got)
	}
	if stack := Stack(err); !strings.Contains(stack, "panics_test.go") {
		t.Errorf("stack is %q", stack)
	}
	if want := errors.New("plain"); !errors.Is(Catch(func() error { return want }), want) || Stack(want) != "" {
		t.Error("a plain error is not returned as it is")
	}
}

package exitcode

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestStatusOfErrors(t *testing.T) {
	cause := errors.New("cause")
	found := map[int]bool{}
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {cause, 1}, {fmt.Errorf("in: %w", ForConfiguration(cause)), 78}, {errors.Join(cause, ForRestart(cause)), 75}, {ForData(cause), 65},
		{fmt.Errorf("pull: %w", context.Canceled), 130}, {errors.Join(context.Canceled, ForData(cause)), 130}, {context.DeadlineExceeded, 1},
		{ForData(nil), 0}, {ForConfiguration(nil), 0}, {ForRestart(nil), 0},
	} {
		if got := Of(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
		if c.err != nil && c.want != 130 && !errors.Is(c.err, cause) && !errors.Is(c.err, context.DeadlineExceeded) {
			t.Errorf("%v hides its cause", c.err)
		}
		found[c.want] = true
	}
	if list := Statuses(); len(list) != len(found) {
		t.Errorf("%d statuses are documented, and %d exist", len(list), len(found))
	}
	for _, s := range Statuses() {
		if !found[s.Code] || s.Meaning == "" {
			t.Errorf("%+v", s)
		}
	}
	if list := Statuses(0, Interrupted); len(list) != 2 || list[0].Code != 0 || list[1].Code != 130 {
		t.Errorf("%v", list)
	}
}

package api

import (
	"testing"

	"fovea/internal/config"
)

func TestBodyBudgetFollowsTheMemoryLimit(t *testing.T) {
	for name, test := range map[string]struct {
		configured, largest, memory, want int64
	}{
		"no limit":                       {0, 64 << 20, 0, 1 << 30},
		"a limit of 2 GiB":               {0, 64 << 20, 2 << 30, 512 << 20},
		"a limit of 64 GiB":              {0, 64 << 20, 64 << 30, 1 << 30},
		"a limit below four bodies":      {0, 64 << 20, 128 << 20, 64 << 20},
		"bodies above the usual budget":  {0, 2 << 30, 0, 2 << 30},
		"configured, whatever the limit": {100 << 20, 64 << 20, 128 << 20, 100 << 20},
	} {
		c := Defaults()
		c.BodyBudget, c.MaxBodyBytes = config.Size(test.configured), config.Size(test.largest)
		if got := c.bodyBudget(test.memory); got != test.want {
			t.Errorf("%s: %d; want %d", name, got, test.want)
		}
	}
}

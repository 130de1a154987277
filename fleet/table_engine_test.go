//go:build engine

package fleet

import (
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"
)

// table collects the measurements of all tests for one table.
type table struct {
	mu   sync.Mutex
	rows []string
}

var figuresTable table

// figures reports whether the tests run for measurements, at full scale.
func figures() bool { return os.Getenv("FOVEA_FLEET_FIGURES") != "" }

// figure logs the result of the requests during a fault, and adds it to the table. full is the time until full
// strength.
func (o outcome) figure(t *testing.T, fault string, full time.Duration, note string) {
	t.Helper()
	strength := "–"
	if full > 0 {
		strength = fmt.Sprintf("%.2f s", full.Seconds())
	}
	row := fmt.Sprintf("| %s | %d | %.0f/s | %d | %.2f s | %s | %s |", fault, o.sent, o.rate, o.failed, o.gap.Seconds(), strength, note)
	t.Log(row)
	figuresTable.mu.Lock()
	defer figuresTable.mu.Unlock()
	figuresTable.rows = append(figuresTable.rows, row)
}

func (tab *table) print(w io.Writer) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	if len(tab.rows) == 0 {
		return
	}
	fmt.Fprintln(w, "| fault | sent | rate | failed | longest gap | full strength after | |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|")
	for _, row := range tab.rows {
		fmt.Fprintln(w, row)
	}
}

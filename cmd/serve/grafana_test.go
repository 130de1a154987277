package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/testenv"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// dashboardProblems compares a dashboard with Grafana's published schema, as its Foundation SDK has it: unknown keys, wrong types, and places
// of panels that overlap.
func dashboardProblems(text []byte) (list []string) {
	var board dashboard.Dashboard //nolint:staticcheck // the file is of this version of the schema, which every Grafana reads
	// A typed nil is returned without problems.
	if err := board.UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		list = append(list, err.Error())
	}
	if err := board.Validate(); err != nil {
		list = append(list, err.Error())
	}
	var raw struct {
		Panels []struct {
			Title   string
			Type    string
			GridPos struct{ H, W, X, Y int }
			Targets []json.RawMessage
		}
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return append(list, err.Error())
	}
	taken := map[[2]int]string{}
	for _, p := range raw.Panels {
		if p.Type != "row" && p.Type != "timeseries" { // of which the schema is known here
			list = append(list, p.Title+": a panel of type "+p.Type)
		}
		for _, target := range p.Targets { // their types are those of the panel's data source, which the SDK does not see
			var query prometheus.Dataquery
			if err := query.UnmarshalJSONStrict(target); err != nil && err.Error() != "" {
				list = append(list, p.Title+": "+err.Error())
			}
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					return append(list, p.Title+" is where "+other+" is, or outside of the grid")
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	if len(raw.Panels) < 15 || len(board.Panels) != len(raw.Panels) {
		list = append(list, "panels are missing")
	}
	return list
}

func TestDashboardHasGrafanasSchema(t *testing.T) {
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
	text, err := os.ReadFile(filepath.Join(testenv.Root(t), "deploy", "grafana", "dashboards", "fovea.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range dashboardProblems(text) {
		t.Error(problem)
	}
	for name, change := range map[string][2]string{
		"an unknown key":             {`"schemaVersion"`, `"schemaversion"`},
		"an unknown key of a panel":  {`"description"`, `"describes"`},
		"an unknown setting":         {`"fillOpacity"`, `"fillOpacty"`},
		"a setting of another type":  {`"fillOpacity": 8`, `"fillOpacity": "8"`},
		"an unknown key of a query":  {`"legendFormat"`, `"legendFormt"`},
		"an unknown key of a legend": {`"showLegend"`, `"showLegends"`},
		"another type of panel":      {`"type": "timeseries"`, `"type": "graph"`},
		"two panels at one place":    {`"x": 8`, `"x": 7`},
	} {
		broken := strings.Replace(string(text), change[0], change[1], 1)
		if broken == string(text) || len(dashboardProblems([]byte(broken))) == 0 {
			t.Errorf("%s is not noticed", name)
		}
	}
}

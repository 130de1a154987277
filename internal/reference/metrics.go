package reference

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// description is how a prometheus.Desc prints itself.
var description = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), (?:unit: "[^"]*", )?constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// Describer describes metrics, as a prometheus.Collector does.
type Describer interface {
	Describe(c chan<- *prometheus.Desc)
}

// Metrics returns a table of Fovea's metrics among those that from describes. Exposition is what a program shows at /metrics: it has
// the types of the metrics with at least one series. By Prometheus's conventions others that end in _total are counters, and the rest gauges.
func Metrics(t testing.TB, exposition string, from Describer) string {
	t.Helper()
	types := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(exposition, -1) {
		types[m[1]] = m[2]
	}
	all := make(chan *prometheus.Desc)
	go func() {
		defer close(all)
		from.Describe(all)
	}()
	var rows [][]string
	for d := range all {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			t.Errorf("not understood: %s", d)
			continue
		}
		name, _ := strconv.Unquote(m[1])
		help, _ := strconv.Unquote(m[2])
		if !strings.HasPrefix(name, "fovea_") {
			continue
		}
		kind := "gauge"
		if strings.HasSuffix(name, "_total") {
			kind = "counter"
		}
		rows = append(rows, []string{code(name), cmp.Or(types[name], kind), labels(m[3], m[4]), cell(help)})
	}
	slices.SortFunc(rows, func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	var b strings.Builder
	table(&b, slices.CompactFunc(rows, func(a, b []string) bool { return a[0] == b[0] }), "metric", "type", "labels", "meaning")
	return b.String()
}

// labels returns the names of constant and variable labels.
func labels(constant, variable string) string {
	var list []string
	for _, m := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(constant, -1) {
		list = append(list, code(m[1]))
	}
	for name := range strings.SplitSeq(variable, ",") {
		if name = strings.TrimSpace(name); name != "" {
			list = append(list, code(name))
		}
	}
	return strings.Join(list, ", ")
}

package apierror

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

const (
	openAPI = "../../api/openapi.json"
	page    = "../../docs/errors.md"
)

// logged are the codes that no client gets.
var logged = []Code{Canceled, ResponseCut}

// row is a line of the page's table: `code` | status | retry | meaning.
var row = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([0-9]{3}) \\| ([^|]+) \\| [^|]+ \\|$")

func TestPageListsEveryCode(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	retry := map[string]Retry{"no": RetryNever, "yes": RetryNow, "after `Retry-After`": RetryLater}
	listed := map[Code]bool{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		code := Code(m[1])
		listed[code] = true
		p, known := codes[code]
		kind, valid := retry[m[3]]
		if !known || strconv.Itoa(p.status) != m[2] || !valid || p.retry != kind {
			t.Errorf("%s: the page says status %s, retry %s; the table %+v", code, m[2], m[3], p)
		}
	}
	for code := range codes {
		if !listed[code] {
			t.Errorf("%s does not list %s", page, code)
		}
	}
}

func TestDocumentListsEveryCodeOfTheServer(t *testing.T) {
	var document struct {
		Components struct {
			Schemas struct{ Code struct{ Enum []Code } }
		}
	}
	text, err := os.ReadFile(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	got := document.Components.Schemas.Code.Enum
	var want []Code
	for code := range codes {
		if !slices.Contains([]Code{PoisonRequest, ReplicaLost, GatewayBusy}, code) && !slices.Contains(logged, code) {
			want = append(want, code)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s lists %q, want %q", openAPI, got, want)
	}
}

func TestTableIsConsistent(t *testing.T) {
	for code, p := range codes {
		busy := p.status == 429 || p.status == 503
		switch {
		case p.status < 400 || p.status > 599:
			t.Errorf("%s has status %d", code, p.status)
		case busy != (p.retry == RetryLater):
			t.Errorf("%s has status %d and retry %d: Retry-After belongs to 429 and 503", code, p.status, p.retry)
		case p.image && p.retry != RetryNever:
			t.Errorf("%s is about an image, so sending it again cannot help", code)
		}
	}
	if c := Code("made_up"); c.Status() != 500 || c.Retry() != codes[Internal].retry || c.AboutImage() {
		t.Errorf("a code that is not in the table: %+v", c.properties())
	}
}

package api

import (
	"bytes"
	"testing"

	"fovea/api/playground"
	"fovea/internal/apierror"
	"fovea/internal/apikey"
	"fovea/internal/testenv"
)

// TestDocumentListsThePlayground wants its files, and no others.
func TestDocumentListsThePlayground(t *testing.T) {
	doc, _ := document()
	listed := doc.Paths.Find("/playground/{file}").Get.Parameters.GetByInAndName("path", "file").Schema.Value.Enum
	page := playground.New()
	for _, name := range listed {
		if !page.Has(playground.Prefix + name.(string)) {
			t.Errorf("%s is not served", name)
		}
	}
	if served := page.Files(); served != len(listed)+1 {
		t.Errorf("the document lists %d files, the page has %d and itself", len(listed), served-1)
	}
}

func TestWhereThePlaygroundIs(t *testing.T) {
	keys, _ := testenv.KeyFile(t, apikey.Key{Name: "all", Scopes: []string{"predict"}})
	for name, c := range map[string]struct {
		address, setting, keys string
		status                 int
	}{
		"an address of this machine alone":    {"127.0.0.1:8000", "auto", "", 200},
		"another of these":                    {"127.1.2.3:8000", "auto", "", 200},
		"one of IPv6":                         {"[::1]:8000", "auto", "", 200},
		"its name":                            {"localhost:8000", "auto", "", 200},
		"with keys, it needs none itself":     {"127.0.0.1:8000", "auto", keys, 200},
		"all addresses":                       {"0.0.0.0:8000", "auto", "", 404},
		"all addresses, unnamed":              {":8000", "auto", "", 404},
		"an address that others reach":        {"192.0.2.1:8000", "auto", "", 404},
		"a name that others may reach":        {"localhost.example:8000", "auto", "", 404},
		"all addresses, and it is configured": {"0.0.0.0:8000", "on", "", 200},
		"it is not wanted":                    {"127.0.0.1:8000", "off", "", 404},
	} {
		s := open(t, func(cfg *Config, _ *engine) {
			cfg.Address, cfg.Playground, cfg.Access.Keys = c.address, c.setting, c.keys
		})
		for _, path := range []string{"/", "/playground/app.js"} {
			got := s.get(path)
			if got.Status != c.status {
				t.Errorf("%s: %s is answered with %d", name, path, got.Status)
			}
			if policy := got.Header.Get("Content-Security-Policy"); (policy != "") != (c.status == 200) {
				t.Errorf("%s: %s has the policy %q", name, path, policy)
			}
		}
		if c.status == 200 && !bytes.Contains(s.get("/").Body, []byte("<title>Fovea playground</title>")) {
			t.Errorf("%s: / is another page", name)
		}
		if got := s.get("/playground/none.js"); got.Status != 404 || c.keys == "" && got.Code != apierror.NotFound {
			t.Errorf("%s: a file that does not exist: %d %s", name, got.Status, got.Body)
		}
	}
}

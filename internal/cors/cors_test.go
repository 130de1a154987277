package cors

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, wrong := range map[string]bool{
		"*": false, "none": false, "": false, "https://app.example": false, " http://localhost:3000 , HTTPS://App.example": false,
		"app.example": true, "https://app.example/": true, "https://app.example/path": true, "null": true, "*,https://a.example": true,
		"https://a.example,": true, "https://user@a.example": true, "https://*.example": false, "file://": true, "https://a b": true,
	} {
		_, err := Parse(text)
		if wrong != (err != nil) || wrong && !strings.Contains(err.Error(), "SCHEME://HOST[:PORT]") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestHandler(t *testing.T) {
	const app = "https://app.example"
	for name, test := range map[string]struct {
		policy, method, path string
		send                 map[string]string
		status               int
		want                 map[string]string // "" is for a header that is not there
	}{
		"any origin, a preflight": {"*", "OPTIONS", "/predict", map[string]string{"Origin": app, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-request-id"}, 204,
			map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": methods, "Access-Control-Allow-Headers": "content-type,x-request-id", "Access-Control-Max-Age": maxAge, "Access-Control-Allow-Credentials": "", "Access-Control-Allow-Private-Network": ""}},
		"any origin, an error": {"*", "POST", "/predict", map[string]string{"Origin": app}, 418,
			map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "X-Request-ID, Retry-After, Inference-Header-Content-Length", "Vary": "Origin"}},
		"any origin, no page":             {"*", "POST", "/predict", nil, 418, map[string]string{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},
		"a list, one of it":               {"http://a.example," + app, "POST", "/predict", map[string]string{"Origin": app}, 418, map[string]string{"Access-Control-Allow-Origin": app, "Vary": "Origin"}},
		"a list, another":                 {app, "POST", "/predict", map[string]string{"Origin": "https://evil.example"}, 418, map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Expose-Headers": "", "Vary": "Origin"}},
		"a list, its beginning":           {app, "POST", "/predict", map[string]string{"Origin": app + ".evil.example"}, 418, map[string]string{"Access-Control-Allow-Origin": ""}},
		"a list, another scheme":          {app, "POST", "/predict", map[string]string{"Origin": "http://app.example"}, 418, map[string]string{"Access-Control-Allow-Origin": ""}},
		"a list, a preflight of another":  {app, "OPTIONS", "/predict", map[string]string{"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}, 204, map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Methods": ""}},
		"a preflight with too much":       {"*", "OPTIONS", "/predict", map[string]string{"Origin": app, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": strings.Repeat("x", 2000)}, 204, map[string]string{"Access-Control-Allow-Headers": ""}},
		"OPTIONS without an origin":       {"*", "OPTIONS", "/predict", map[string]string{"Access-Control-Request-Method": "POST"}, 418, map[string]string{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},
		"OPTIONS that is no preflight":    {"*", "OPTIONS", "/predict", map[string]string{"Origin": app}, 418, map[string]string{"Access-Control-Allow-Origin": "*"}},
		"a path that no page needs":       {"*", "GET", "/metrics", map[string]string{"Origin": app}, 418, map[string]string{"Access-Control-Allow-Origin": "", "Vary": ""}},
		"none":                            {"none", "OPTIONS", "/predict", map[string]string{"Origin": app, "Access-Control-Request-Method": "POST"}, 418, map[string]string{"Access-Control-Allow-Origin": "", "Vary": ""}},
		"an origin that is an empty text": {app, "POST", "/predict", map[string]string{"Origin": ""}, 418, map[string]string{"Access-Control-Allow-Origin": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			policy, err := Parse(test.policy)
			if err != nil {
				t.Fatal(err)
			}
			h := policy.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) }))
			r := httptest.NewRequest(test.method, test.path, nil)
			for name, value := range test.send {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != test.status {
				t.Errorf("status %d", w.Code)
			}
			for name, value := range test.want {
				if got := w.Header().Get(name); got != value {
					t.Errorf("%s: %q, want %q", name, got, value)
				}
			}
		})
	}
}

func TestRemoveKeepsOtherHeaders(t *testing.T) {
	h := http.Header{"Access-Control-Allow-Origin": {"*"}, "Access-Control-Expose-Headers": {"x"}, "Vary": {"Origin"}, "Content-Type": {"x"}}
	Remove(h)
	if len(h) != 2 || h.Get("Vary") == "" {
		t.Errorf("%v", h)
	}
}

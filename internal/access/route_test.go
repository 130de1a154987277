package access

import (
	"net/http"
	"strings"
	"testing"

	"fovea/internal/apikey"
)

func TestRoutes(t *testing.T) {
	open, anyKey := Route{Open: true}, Route{}
	needs := func(s apikey.Scope, model string) Route { return Route{Scope: s, Model: model} }
	for request, want := range map[string]Route{
		"GET /health": open, "HEAD /health": open, "GET /ready": open, "GET /v2/health/live": open, "GET /v2/health/ready": open, "GET /openapi.json": open,
		"GET /metrics":                            {Scope: apikey.Models, metrics: true},
		"POST /predict":                           needs(apikey.Predict, ""),
		"POST /predict?model=x":                   needs(apikey.Predict, ""),
		"POST /v1/models/cats/predict":            needs(apikey.Predict, "cats"),
		"POST /v1/models/c%61ts/predict":          needs(apikey.Predict, "cats"),
		"POST /v1/models/a%2Fb/predict":           needs(apikey.Predict, "a/b"),
		"POST /v1/models/a|b/predict":             needs(apikey.Predict, "a|b"),
		"POST /v1/models/cats/versions/1/predict": needs(apikey.Predict, "cats"),
		"POST /v2/models/cats/infer":              needs(apikey.Predict, "cats"),
		"POST /v2/models/cats/versions/1/infer":   needs(apikey.Predict, "cats"),
		"GET /v1/models":                          needs(apikey.Models, ""),
		"GET /v1/models/cats":                     needs(apikey.Models, "cats"),
		"HEAD /v1/models/cats":                    needs(apikey.Models, "cats"),
		"GET /v2/models/cats":                     needs(apikey.Models, "cats"),
		"GET /v2/models/cats/config":              needs(apikey.Models, "cats"),
		"GET /v2/models/cats/stats":               needs(apikey.Models, "cats"),
		"GET /v2/models/stats":                    needs(apikey.Models, ""),
		"GET /v2/models/cats/ready":               needs("", "cats"),
		"GET /v2/models/cats/versions/1":          needs(apikey.Models, "cats"),
		"GET /v2/models/cats/versions/1/ready":    needs("", "cats"),
		"GET /v2/models/cats/versions/1/stats":    needs(apikey.Models, "cats"),
		"GET /v2/models/cats/versions/1/config":   needs(apikey.Models, "cats"),
		"GET /v2":                                 needs(apikey.Models, ""),
		"POST /v2/repository/index":               needs(apikey.Models, ""),
		"POST /v2/repository/models/cats/load":    needs(apikey.Admin, "cats"),
		"POST /v2/repository/models/cats/unload":  needs(apikey.Admin, "cats"),
		// What is not listed needs a key: it may become a route, or it is another form of one.
		"GET /x": anyKey, "POST /": anyKey, "GET /playground": anyKey, "GET /playground/": anyKey, "GET /playground/a/b": anyKey, "GET /v2/": anyKey, "POST /health": anyKey, "GET /health/": anyKey, "GET //health": anyKey, "GET /predict": anyKey,
		"GET /%68ealth": anyKey, "POST /v1/models//predict": anyKey, "POST /v1/models/cats/predict/": anyKey, "GET /v1/models/": anyKey,
		"DELETE /v1/models/cats": anyKey, "GET /v2/health/live/x": anyKey, "GET /metrics/x": anyKey, "OPTIONS *": anyKey,
	} {
		method, target, _ := strings.Cut(request, " ")
		r, err := http.ReadRequest(reader(method + " " + target + " HTTP/1.1\r\nHost: x\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := RouteOf(r); got != want {
			t.Errorf("%s: %+v, want %+v", request, got, want)
		}
	}
}

func TestCalls(t *testing.T) {
	for method, want := range map[string]Route{
		"ServerLive": {Open: true, Model: "m"}, "ModelInfer": {Scope: apikey.Predict, Model: "m"}, "ModelStreamInfer": {Scope: apikey.Predict, Model: "m"},
		"ModelMetadata": {Scope: apikey.Models, Model: "m"}, "RepositoryModelUnload": {Scope: apikey.Admin, Model: "m"}, "ModelReady": {Model: "m"}, "Unknown": {Model: "m"},
	} {
		if got := CallOf("/inference.GRPCInferenceService/"+method, "m"); got != want {
			t.Errorf("%s: %+v, want %+v", method, got, want)
		}
	}
}

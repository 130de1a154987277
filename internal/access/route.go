package access

import (
	"net/http"
	"net/url"
	"strings"

	"fovea/internal/apikey"
)

// Route says what a request needs. The zero value needs a key of any scope.
type Route struct {
	Open    bool         // needs no key
	Scope   apikey.Scope // that the key must have; "": any
	Model   string       // that the request names; "": none, or not in its path
	Named   bool         // a client that may use some models only must name one, as a gateway does not know which are meant otherwise
	metrics bool         // Open by configuration
}

// pattern is a method and a path. {model} stands for a model's name, {} for any other segment.
type pattern struct {
	method, path string
	route        Route
}

// patterns are the routes that need something else than a key of any scope. HEAD is as GET.
var patterns = []pattern{
	{http.MethodPost, "/predict", Route{Scope: apikey.Predict}},
	{http.MethodPost, "/v1/models/{model}/predict", Route{Scope: apikey.Predict}},
	{http.MethodPost, "/v1/models/{model}/versions/{}/predict", Route{Scope: apikey.Predict}},
	{http.MethodPost, "/v1/models/{model}/compare", Route{Scope: apikey.Predict}},
	{http.MethodPost, "/v2/models/{model}/infer", Route{Scope: apikey.Predict}},
	{http.MethodPost, "/v2/models/{model}/versions/{}/infer", Route{Scope: apikey.Predict}},

	{http.MethodGet, "/health", Route{Open: true}},
	{http.MethodGet, "/ready", Route{Open: true}},
	{http.MethodGet, "/v2/health/live", Route{Open: true}},
	{http.MethodGet, "/v2/health/ready", Route{Open: true}},
	{http.MethodGet, "/openapi.json", Route{Open: true}},
	{http.MethodGet, "/", Route{Open: true}}, // the playground's page, whose requests have a key
	{http.MethodGet, "/playground/{}", Route{Open: true}},
	{http.MethodGet, "/metrics", Route{Scope: apikey.Models, metrics: true}},

	{http.MethodGet, "/v1/models", Route{Scope: apikey.Models}},
	{http.MethodGet, "/v1/models/{model}", Route{Scope: apikey.Models}},
	{http.MethodGet, "/v2", Route{Scope: apikey.Models}},
	{http.MethodGet, "/v2/models/stats", Route{Scope: apikey.Models}}, // of all models
	{http.MethodGet, "/v2/models/{model}", Route{Scope: apikey.Models}},
	{http.MethodGet, "/v2/models/{model}/config", Route{Scope: apikey.Models}},
	{http.MethodGet, "/v2/models/{model}/stats", Route{Scope: apikey.Models}},
	{http.MethodGet, "/v2/models/{model}/ready", Route{}},
	{http.MethodGet, "/v2/models/{model}/versions/{}", Route{Scope: apikey.Models}},
	{http.MethodGet, "/v2/models/{model}/versions/{}/config", Route{Scope: apikey.Models}},
	{http.MethodGet, "/v2/models/{model}/versions/{}/stats", Route{Scope: apikey.Models}},
	{http.MethodGet, "/v2/models/{model}/versions/{}/ready", Route{}},
	{http.MethodPost, "/v2/repository/index", Route{Scope: apikey.Models}},

	{http.MethodPost, "/v2/repository/models/{model}/load", Route{Scope: apikey.Admin}},
	{http.MethodPost, "/v2/repository/models/{model}/unload", Route{Scope: apikey.Admin}},
}

// RouteOf returns the route of a request. One that is not listed needs a key, since it may become a route.
func RouteOf(r *http.Request) Route {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path := r.URL.EscapedPath() // as the router sees it: an encoded slash does not end a segment
	for _, p := range patterns {
		if p.method != method {
			continue
		}
		if model, ok := match(p.path, path); ok {
			route := p.route
			route.Model = model
			return route
		}
	}
	return Route{}
}

// match reports whether an escaped path has the form of a pattern, and the model that it names.
func match(pattern, path string) (model string, ok bool) {
	for pattern != "" && path != "" {
		var want, segment string
		want, pattern = cut(pattern)
		segment, path = cut(path)
		switch {
		case want == "/{}" && segment != "/":
		case want == "/{model}" && segment != "/":
			name, err := url.PathUnescape(segment[1:])
			if err != nil {
				return "", false
			}
			model = name
		case want != segment:
			return "", false
		}
	}
	return model, pattern == "" && path == ""
}

// cut returns the first segment of a path with the slash before it, and the rest.
func cut(path string) (segment, rest string) {
	if i := strings.IndexByte(path[1:], '/'); i >= 0 {
		return path[:i+1], path[i+1:]
	}
	return path, ""
}

// calls are the routes of gRPC methods by their full names.
var calls = map[string]Route{
	"/inference.GRPCInferenceService/ServerLive":            {Open: true},
	"/inference.GRPCInferenceService/ServerReady":           {Open: true},
	"/inference.GRPCInferenceService/ModelInfer":            {Scope: apikey.Predict},
	"/inference.GRPCInferenceService/ModelStreamInfer":      {Scope: apikey.Predict},
	"/inference.GRPCInferenceService/ServerMetadata":        {Scope: apikey.Models},
	"/inference.GRPCInferenceService/ModelMetadata":         {Scope: apikey.Models},
	"/inference.GRPCInferenceService/ModelConfig":           {Scope: apikey.Models},
	"/inference.GRPCInferenceService/ModelStatistics":       {Scope: apikey.Models},
	"/inference.GRPCInferenceService/RepositoryIndex":       {Scope: apikey.Models},
	"/inference.GRPCInferenceService/RepositoryModelLoad":   {Scope: apikey.Admin},
	"/inference.GRPCInferenceService/RepositoryModelUnload": {Scope: apikey.Admin},
	"/grpc.health.v1.Health/Check":                          {Open: true},
	"/grpc.health.v1.Health/Watch":                          {Open: true},
	"/grpc.health.v1.Health/List":                           {Open: true},
}

// CallOf returns the route of a gRPC call for a model, "" for none. A method that is not listed needs a key.
func CallOf(fullMethod, model string) Route {
	route := calls[fullMethod]
	route.Model = model
	return route
}

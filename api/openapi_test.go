package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

var document = sync.OnceValues(func() (*openapi3.T, routers.Router) {
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		panic(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		panic(err)
	}
	for _, media := range []string{"image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif", "image/tiff", "image/avif", "image/heic", "image/heif", "application/openmetrics-text", "text/html", "text/javascript", "text/css", "image/svg+xml"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.FileBodyDecoder)
	}
	return doc, router
})

// checked validates every response against the document: by its route, or else as an error.
type checked struct {
	t    *testing.T
	base http.RoundTripper
}

func (c checked) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	_ = response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	if response.Header.Get(requestIDHeader) == "" {
		c.t.Errorf("%s %s: no %s in the response", r.Method, r.URL.Path, requestIDHeader)
	}
	if response.Header.Get("Content-Encoding") != "" {
		return response, nil // the document's validator does not decompress
	}
	doc, router := document()
	route, params, err := router.FindRoute(r)
	if err != nil {
		c.checkError(doc, r, response, body)
		return response, nil
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 response.StatusCode,
		Header:                 response.Header,
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	input.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(r.Context(), input); err != nil {
		c.t.Errorf("%s %s: the response does not match the document: %v", r.Method, r.URL.Path, err)
	}
	return response, nil
}

func (c checked) checkError(doc *openapi3.T, r *http.Request, response *http.Response, body []byte) {
	if r.Method == http.MethodHead {
		return // GET without its body
	}
	if response.StatusCode != http.StatusNotFound && response.StatusCode != http.StatusMethodNotAllowed && response.StatusCode != http.StatusUnauthorized {
		c.t.Errorf("%s %s: status %d of a route that is not in the document", r.Method, r.URL.Path, response.StatusCode)
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		c.t.Errorf("%s %s: %v in %s", r.Method, r.URL.Path, err, body)
		return
	}
	schema := "Error"
	if isV2(r.URL.Path) {
		schema = "V2Error"
	}
	if err := doc.Components.Schemas[schema].Value.VisitJSON(value); err != nil {
		c.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
}

func TestDocumentIsValid(t *testing.T) {
	doc, _ := document()
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDocumentListsTheRoutes(t *testing.T) {
	s := open(t)
	doc, _ := document()
	var documented, served []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	parameter := regexp.MustCompile(`:(\w+)`)
	for _, route := range s.server.router.Routes() {
		if route.Method == http.MethodHead {
			continue // wherever there is GET: TestHead
		}
		served = append(served, route.Method+" "+parameter.ReplaceAllString(route.Path, "{$1}"))
	}
	slices.Sort(documented)
	slices.Sort(served)
	if !slices.Equal(documented, served) {
		t.Errorf("documented:\n%s\nserved:\n%s", strings.Join(documented, "\n"), strings.Join(served, "\n"))
	}
}

func TestDocumentHasTheLimitOfImages(t *testing.T) {
	got := open(t, func(c *Config, _ *engine) { c.MaxImages = 3 }).get("/openapi.json")
	doc, err := openapi3.NewLoader().LoadFromData(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	for schema, property := range map[string]string{"Form": "image", "Images": "images"} {
		limit := doc.Components.Schemas[schema].Value.Properties[property].Value.MaxItems
		if limit == nil || *limit != 3 {
			t.Errorf("%s.%s: %v", schema, property, limit)
		}
	}
}

func TestDocumentIsServed(t *testing.T) {
	got := open(t).get("/openapi.json")
	if got.Status != 200 || !bytes.Equal(got.Body, openAPI) {
		t.Errorf("%d, %d bytes", got.Status, len(got.Body))
	}
}

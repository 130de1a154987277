package bulk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"fovea/internal/apierror"
)

// remote is the client of a server whose answers are given in turn; the last one stays. It waits for nothing.
func remote(t *testing.T, change func(*RemoteOptions), answers ...http.HandlerFunc) (client *Remote, requests *[]*http.Request, waits *[]time.Duration) {
	t.Helper()
	requests, waits = &[]*http.Request{}, &[]time.Duration{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := len(*requests)
		*requests = append(*requests, r)
		_, _ = io.Copy(io.Discard, r.Body)
		answers[min(n, len(answers)-1)](w, r)
	}))
	t.Cleanup(server.Close)
	o := RemoteOptions{Server: server.URL + "/vision/", Model: "pets", Version: "3", Query: url.Values{"top_k": {"2"}}, Key: "fovea_secret", Timeout: time.Minute, Parallel: 1}
	if change != nil {
		change(&o)
	}
	client, err := NewRemote(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	client.pause = func(_ context.Context, d time.Duration) error {
		*waits = append(*waits, d)
		return nil
	}
	return client, requests, waits
}

func answers(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

var good = answers(200, `{"model":"pets","version":"3","predictions":[{"top":[]}]}`)

func TestServerIsAskedForAPrediction(t *testing.T) {
	client, requests, _ := remote(t, nil, good)
	a, err := client.Predict(t.Context(), []byte("image"))
	if err != nil || a.Model != "pets" || a.Version != "3" || string(a.JSON) != `{"top":[]}` {
		t.Fatalf("%+v %v", a, err)
	}
	r := (*requests)[0]
	if r.URL.String() != "/vision/v1/models/pets/versions/3/predict?top_k=2" || r.Header.Get("Authorization") != "Bearer fovea_secret" || r.ContentLength != 5 {
		t.Errorf("%s %v", r.URL, r.Header)
	}
	client, requests, _ = remote(t, func(o *RemoteOptions) { o.Version, o.Key = "", "" }, answers(200, "a drawn image"))
	if drawn, err := client.Draw(t.Context(), []byte("image"), nil, "jpeg"); err != nil || string(drawn) != "a drawn image" {
		t.Errorf("%q %v", drawn, err)
	}
	if r := (*requests)[0]; r.URL.String() != "/vision/v1/models/pets/predict?annotate=jpeg&top_k=2" || r.Header.Get("Authorization") != "" {
		t.Errorf("%s %v", r.URL, r.Header)
	}
}

func TestServerThatRefusesForTheMoment(t *testing.T) {
	refused := func(status int, code apierror.Code) http.HandlerFunc {
		return answers(status, fmt.Sprintf(`{"error":"no","code":%q}`, code), "Retry-After", "2")
	}
	for name, c := range map[string]struct {
		answers  []http.HandlerFunc
		requests int
		code     apierror.Code // empty: an answer
	}{
		"a full queue":                        {[]http.HandlerFunc{refused(429, apierror.QueueFull), refused(429, apierror.QueueFull), good}, 3, ""},
		"a server that is draining":           {[]http.HandlerFunc{refused(503, apierror.Draining), good}, 2, ""},
		"a proxy without a backend":           {[]http.HandlerFunc{answers(502, "<html>"), good}, 2, ""},
		"a server that stays full":            {[]http.HandlerFunc{refused(429, apierror.QueueFull)}, maxRetries + 1, apierror.QueueFull},
		"an internal error":                   {[]http.HandlerFunc{refused(500, apierror.Internal), good}, 2, ""},
		"an internal error that stays":        {[]http.HandlerFunc{refused(500, apierror.Internal)}, 2, apierror.Internal},
		"an image that cannot be decoded":     {[]http.HandlerFunc{refused(422, apierror.Undecodable)}, 1, apierror.Undecodable},
		"a wrong key":                         {[]http.HandlerFunc{refused(401, apierror.Unauthenticated)}, 1, apierror.Unauthenticated},
		"another server":                      {[]http.HandlerFunc{answers(200, "<html>")}, 1, apierror.NotFound},
		"another server that speaks JSON":     {[]http.HandlerFunc{answers(200, "{}")}, 1, apierror.NotFound},
		"another server without the route":    {[]http.HandlerFunc{answers(404, "<html>")}, 1, apierror.NotFound},
		"a body that is too large for nginx":  {[]http.HandlerFunc{answers(413, "<html>")}, 1, apierror.BodyTooLarge},
		"a redirect, which is not followed":   {[]http.HandlerFunc{answers(301, "", "Location", "https://elsewhere.example/")}, 1, apierror.NotFound},
		"a timeout, which is not tried again": {[]http.HandlerFunc{refused(504, apierror.DeadlineExceeded)}, 1, apierror.DeadlineExceeded},
	} {
		client, requests, waits := remote(t, nil, c.answers...)
		_, err := client.Predict(t.Context(), []byte("image"))
		if len(*requests) != c.requests || (err == nil) != (c.code == "") || err != nil && apierror.From(err).Code != c.code {
			t.Errorf("%s: %d requests, %v", name, len(*requests), err)
		}
		for _, wait := range *waits {
			if wait < 2*time.Second && !strings.HasPrefix(name, "a proxy") || wait > maxPause {
				t.Errorf("%s: waits %s", name, wait)
			}
		}
		if strings.HasPrefix(name, "a redirect") && !strings.Contains(err.Error(), "to https://elsewhere.example/") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "fovea_secret") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	server := httptest.NewServer(good)
	client, err := NewRemote(RemoteOptions{Server: server.URL, Model: "m", Key: "fovea_secret", Timeout: time.Minute, Parallel: 1})
	if err != nil {
		t.Fatal(err)
	}
	waits := 0
	client.pause = func(context.Context, time.Duration) error { waits++; return nil }
	if _, err := client.Predict(t.Context(), []byte("image")); err != nil {
		t.Fatal(err)
	}
	client.Close()
	server.Close()
	if _, err := client.Predict(t.Context(), []byte("image")); err == nil || waits != maxRetries || !strings.Contains(err.Error(), "the server cannot be reached: ") {
		t.Errorf("a server that has left: %v after %d waits", err, waits)
	}
	waits = 0
	client.reached.Store(false)
	_, err = client.Predict(t.Context(), []byte("image"))
	if _, fatal := errors.AsType[*fatalError](classify(err)); err == nil || waits != 0 || !fatal {
		t.Errorf("a server that never was there: %v after %d waits", err, waits)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Predict(ctx, []byte("image")); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestServerURLs(t *testing.T) {
	for _, text := range []string{"", "127.0.0.1:8000", "ftp://host", "http://", "http://user:secret@host", "http://host?key=secret", "http://[::1"} {
		if _, err := NewRemote(RemoteOptions{Server: text, Model: "m"}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

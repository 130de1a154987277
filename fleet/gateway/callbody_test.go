package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fovea/api/v2grpc/pb"
	"fovea/internal/apikey"
	"fovea/internal/testenv"
)

// slowCall is a call whose client writes bytes as it likes.
type slowCall struct {
	io.WriteCloser

	trailer chan http.Header // the status, in headers or trailers
}

func startSlowCall(t *testing.T, address, method string) *slowCall {
	t.Helper()
	transport := testenv.HTTP2()
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+inferenceService+method, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	c := &slowCall{w, make(chan http.Header, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer transport.CloseIdleConnections()
		res, err := transport.RoundTrip(req)
		if err != nil {
			c.trailer <- http.Header{"Error": {err.Error()}}
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if len(res.Trailer) > 0 {
			c.trailer <- res.Trailer
		} else {
			c.trailer <- res.Header
		}
	}()
	t.Cleanup(func() {
		_ = w.Close()
		<-ended
	})
	return c
}

// A message must arrive in time. Between the messages of a stream, there is any time.
func TestSlowMessages(t *testing.T) {
	message := string(messageBytes(0, strings.Repeat("x", 100)))
	for name, c := range map[string]struct {
		method, sent string
		status       string
		code         string // in the access log
	}{
		"no message":                      {"ModelInfer", "", "4", "body_timeout"},
		"half a prefix":                   {"ModelInfer", message[:3], "4", "body_timeout"},
		"half a message":                  {"ModelInfer", message[:50], "4", "body_timeout"},
		"half a message of a stream":      {"ModelStreamInfer", message[:50], "4", "body_timeout"},
		"more than is read before a call": {"ModelInfer", string(messageBytes(0, strings.Repeat("x", 10_000)))[:5_000], "4", "body_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startReplica(t, "a", nil)
			f := startCalls(t, func(c *Config) { c.BodyTimeout, c.MinBodyRate = 300*time.Millisecond, 0 }, a.Replica)
			call := startSlowCall(t, f.address, c.method)
			_, _ = io.WriteString(call, c.sent)
			if got := wait(t, "the end", call.trailer); got.Get("Grpc-Status") != c.status {
				t.Errorf("%v", got)
			}
			until(t, "the log", func() bool { return strings.Contains(f.log.String(), `"code":"`+c.code+`"`) })
			until(t, "the replica is free", func() bool { return f.balancer.InFlight("a") == 0 && f.admission.Requests() == 0 })
			if s := f.balancer.Status()[0]; a.hits.Load() != 0 || s.Bad != 0 || s.State != Ready {
				t.Errorf("the replica got %d requests; %+v", a.hits.Load(), s)
			}
		})
	}
	t.Run("an idle stream", func(t *testing.T) {
		f := startCalls(t, func(c *Config) { c.BodyTimeout = 50 * time.Millisecond }, replicasOf(startReplica(t, "a", nil))...)
		stream := f.open(t)
		for i := range 3 {
			time.Sleep(150 * time.Millisecond)
			exchange(t, stream, itoa(i), "a")
		}
	})
}

// A message that is slow to arrive is displaced when another needs its place.
func TestSlowMessageIsDisplaced(t *testing.T) {
	f := startCalls(t, func(c *Config) { c.MaxRequests, c.ClientShare, c.MinBodyRate = 1, 1, 1<<20 }, replicasOf(startReplica(t, "a", nil))...)
	f.calls.open = admissionFor(f.cfg, 100) // so that only messages are limited
	call := startSlowCall(t, f.address, "ModelInfer")
	_, _ = io.WriteString(call, string(messageBytes(0, strings.Repeat("x", 10_000)))[:2_000])
	until(t, "the message is counted", func() bool { return f.admission.Requests() == 1 })
	if _, err := f.infer(t.Context(), "1"); err != nil {
		t.Errorf("the other: %v", err)
	}
	if got := wait(t, "the end", call.trailer); got.Get("Grpc-Status") != "8" {
		t.Errorf("displaced with %v", got)
	}
}

// A key that is revoked ends its streams with their next message, after those before it are answered.
func TestKeyIsRevokedDuringAStream(t *testing.T) {
	path, keys := testenv.KeyFile(t, apikey.Key{Name: "camera", Scopes: []string{"predict"}})
	f := startCalls(t, func(c *Config) { c.Access.Keys = path }, replicasOf(startReplica(t, "a", nil))...)
	stream, err := f.ModelStreamInfer(withKey(t.Context(), keys["camera"]))
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, stream, "1", "a")
	rewrite(t, path, "keys: []\n")
	until(t, "the key is refused", func() bool {
		_, err := f.infer(withKey(t.Context(), keys["camera"]), "1")
		return status.Code(err) == codes.Unauthenticated
	})
	if err := stream.Send(&pb.ModelInferRequest{ModelName: "m", Id: "2"}); err != nil {
		t.Fatal(err)
	}
	if m, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("%v, %v", m, err)
	}
}

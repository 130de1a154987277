package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"fovea/inference"
	"fovea/internal/apierror"
	"fovea/internal/panics"
)

// waiting changes the engine to one that responds to images that begin with "wait" once respond is called.
func waiting(e *engine) (respond func()) {
	proceed := make(chan struct{})
	e.predict = func(ctx context.Context, r inference.Request) (*inference.Response, error) {
		if strings.HasPrefix(string(r.Image), "wait") {
			select {
			case <-proceed:
			case <-ctx.Done():
			}
		}
		return echo(ctx, r)
	}
	return func() { close(proceed) }
}

func TestRequestsBeyondALimitAreRefusedUnread(t *testing.T) {
	for limit, change := range map[string]func(*Config){
		"1 requests":    func(c *Config) { c.MaxRequests = 1 },
		"75 body bytes": func(c *Config) { c.MaxImageBytes, c.MaxBodyBytes, c.BodyBudget = 100, 100, 100 }, // for a client above its share
	} {
		t.Run(limit, func(t *testing.T) {
			var respond func()
			s := open(t, func(c *Config, e *engine) { change(c); respond = waiting(e) })
			first := s.dial(begin + "Content-Length: 99\r\n\r\nwait" + strings.Repeat(".", 95))
			s.eventually("fovea_body_bytes_in_flight 99")
			got := s.post("/predict", "image/jpeg", strings.Repeat("x", 50))
			if got.Status != 429 || got.Code != apierror.QueueFull || got.Error != "the server is busy: the limit of "+limit+" in flight is reached" || got.Header.Get("Retry-After") != "1" {
				t.Errorf("%d %s", got.Status, got.Body)
			}
			if got := s.get("/health"); got.Status != 200 {
				t.Errorf("/health while busy: %d", got.Status)
			}
			respond()
			if status, text := s.responseOn(first); status != 200 {
				t.Errorf("the first: %d %s", status, text)
			}
			s.eventually("fovea_requests_in_flight 0")
			s.good()
			s.eventually(`fovea_rejected_total{code="queue_full",model="cats"} 1`)
		})
	}
}

func TestBodyCountsAsItArrives(t *testing.T) {
	for name, length := range map[string]int64{"of known length": 50, "of unknown length": -1} {
		t.Run(name, func(t *testing.T) {
			var respond func()
			s := open(t, func(c *Config, e *engine) {
				c.MaxImageBytes, c.MaxBodyBytes, c.BodyBudget = 100, 100, 100
				respond = waiting(e)
			})
			s.dial(begin + "Content-Length: 60\r\n\r\nwait" + strings.Repeat(".", 56))
			s.eventually("fovea_body_bytes_in_flight 60")
			r := s.request("POST", "/predict", "image/jpeg", struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 50))})
			r.ContentLength = length
			if got := s.do(r); got.Status != 429 {
				t.Errorf("%d %s", got.Status, got.Body)
			}
			respond()
			s.eventually("fovea_body_bytes_in_flight 0")
			s.good()
		})
	}
}

func TestRefusedClientThatStillSendsGetsTheResponse(t *testing.T) {
	s := open(t)
	body := strings.NewReader(strings.Repeat("x", 17<<20))
	got := s.do(s.request("POST", "/predict", "image/jpeg", body))
	if got.Status != 413 || got.Code != apierror.BodyTooLarge || body.Len() != 0 {
		t.Errorf("%d %s, %d bytes unsent", got.Status, got.Body, body.Len())
	}
	s.good()
}

func TestEngineErrors(t *testing.T) {
	secret := errors.New("secret of the server")
	for name, test := range map[string]struct {
		err   error
		want  int
		code  apierror.Code
		retry string
	}{
		"queue full":             {&apierror.Error{Code: apierror.QueueFull, Message: "busy", RetryAfter: 1500 * time.Millisecond}, 429, apierror.QueueFull, "2"},
		"not ready":              {apierror.New(apierror.NotReady, "loading"), 503, apierror.NotReady, "1"},
		"draining":               {apierror.New(apierror.Draining, "shutting down"), 503, apierror.Draining, "1"},
		"device lost":            {apierror.Wrap(apierror.DeviceLost, secret, "the device has failed"), 503, apierror.DeviceLost, "1"},
		"deadline":               {context.DeadlineExceeded, 504, apierror.DeadlineExceeded, ""},
		"an error of the server": {secret, 500, apierror.Internal, ""},
		"an unknown code":        {apierror.New("made_up", "made up"), 500, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, func(_ *Config, e *engine) {
				e.predict = func(context.Context, inference.Request) (*inference.Response, error) { return nil, test.err }
			})
			if test.code == "" { // the document doesn't know it, as it should
				s.client.Transport = http.DefaultTransport
				defer s.client.CloseIdleConnections()
			}
			for _, body := range []string{images("", "one"), images("", "one", "two")} {
				got := s.post("/predict", "application/json", body)
				if got.Status != test.want || test.code != "" && got.Code != test.code || got.Header.Get("Retry-After") != test.retry {
					t.Errorf("%d, Retry-After %q, %s", got.Status, got.Header.Get("Retry-After"), got.Body)
				}
				if strings.Contains(string(got.Body), "secret") {
					t.Errorf("the response reveals %s", got.Body)
				}
			}
			if logged := strings.Count(s.log.String(), "secret"); strings.Contains(test.err.Error(), "secret") && logged != 2 {
				t.Errorf("two requests, logged %d times", logged)
			}
		})
	}
}

func TestDeadlineExceeded(t *testing.T) {
	s := open(t, func(c *Config, e *engine) {
		c.Timeout = 20 * time.Millisecond
		e.predict = func(ctx context.Context, _ inference.Request) (*inference.Response, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	got := s.post("/predict", "image/jpeg", "pixels")
	if got.Status != 504 || got.Error != "no response within 20ms" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestPanicIsLoggedOnce(t *testing.T) {
	for name, body := range map[string]string{"of one image": images("", "bang"), "of several images": images("", "bang", "bang", "bang")} {
		t.Run(name, func(t *testing.T) {
			s := open(t, func(_ *Config, e *engine) {
				e.predict = func(ctx context.Context, r inference.Request) (*inference.Response, error) {
					if string(r.Image) == "bang" {
						panic("bang at " + r.Model)
					}
					return echo(ctx, r)
				}
			})
			got := s.post("/predict", "application/json", body)
			if got.Status != 500 || got.Error != "internal error" || got.Code != apierror.Internal {
				t.Errorf("%d %s", got.Status, got.Body)
			}
			if n := strings.Count(s.log.String(), `"error":"panic: bang at cats"`); n != strings.Count(body, "b64") || !strings.Contains(s.log.String(), "predictImage") {
				t.Errorf("logged %d times: %s", n, s.log)
			}
			s.good()
		})
	}
}

func TestPanicOfAHandler(t *testing.T) {
	s := open(t)
	s.server.health = nil
	got := s.get("/health")
	if got.Status != 500 || got.Code != apierror.Internal || strings.Count(s.log.String(), `"msg":"panic"`) != 1 {
		t.Errorf("%d %s\n%s", got.Status, got.Body, s.log)
	}
	s.good()
}

// A panic that the engine has caught: its stack is for the log alone.
func TestStackOfAPanicInTheEngineIsLoggedAndNotSent(t *testing.T) {
	s := open(t, func(_ *Config, e *engine) {
		e.predict = func(context.Context, inference.Request) (*inference.Response, error) {
			return nil, panics.Catch(func() error { panic("bang") })
		}
	})
	got := s.post("/predict", "image/jpeg", "pixels")
	if got.Status != 500 || got.Error != "internal error" || strings.Contains(string(got.Body), "busy_test.go") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if log := s.log.String(); !strings.Contains(log, "panic: bang") || !strings.Contains(log, "busy_test.go") {
		t.Errorf("logged %s", log)
	}
}

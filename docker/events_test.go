package docker

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

const oneEvent = `{"Type":"container","Action":"die","Actor":{"ID":"x","Attributes":{"exitCode":"137"}},"timeNano":1000000000}` + "\n"

// stream serves /events with one event, then calls a function of the test.
func stream(then http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(oneEvent))
		_ = http.NewResponseController(w).Flush()
		then(w, r)
	}
}

func next(t *testing.T, events <-chan Event) Event {
	t.Helper()
	select {
	case e, ok := <-events:
		if !ok {
			t.Fatal("the stream has ended")
		}
		return e
	case <-time.After(testTimeout):
		t.Fatal("no event")
	}
	return Event{}
}

// ended reads a stream to its end and returns its error.
func ended(t *testing.T, events <-chan Event, failed <-chan error) error {
	t.Helper()
	err := <-failed
	for range events {
	}
	if _, more := <-failed; more {
		t.Error("a second error")
	}
	return err
}

func TestEventsEndWithTheReason(t *testing.T) {
	t.Run("the engine closes the stream", func(t *testing.T) {
		c := script{routes: map[string]http.HandlerFunc{"/{v}/events": stream(func(http.ResponseWriter, *http.Request) {})}}.open(t)
		events, failed := c.Events(context.Background(), nil)
		if e := next(t, events); e.ID != "x" || e.Action != "die" || e.Labels["exitCode"] != "137" || !e.Time.Equal(time.Unix(1, 0)) {
			t.Errorf("got %+v", e)
		}
		if err := ended(t, events, failed); !errors.Is(err, ErrUnreachable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the engine refuses", func(t *testing.T) {
		c := script{routes: map[string]http.HandlerFunc{"/{v}/events": func(w http.ResponseWriter, _ *http.Request) {
			fail(w, http.StatusForbidden, "not through this proxy")
		}}}.open(t)
		events, failed := c.Events(context.Background(), nil)
		if err := ended(t, events, failed); !errors.Is(err, ErrDenied) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the caller goes, whether it reads or not", func(t *testing.T) {
		c := script{routes: map[string]http.HandlerFunc{"/{v}/events": stream(func(w http.ResponseWriter, r *http.Request) {
			for range 1000 { // more than any buffer holds
				_, _ = w.Write([]byte(oneEvent))
			}
			_ = http.NewResponseController(w).Flush()
			never(w, r)
		})}}.open(t)
		ctx, cancel := context.WithCancel(context.Background())
		events, failed := c.Events(ctx, nil)
		next(t, events)
		cancel()
		if err := ended(t, events, failed); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestHungEngineEndsTheStream(t *testing.T) {
	var hangs atomic.Bool
	var pings atomic.Int32
	host := script{apiVersion: "1.45", routes: map[string]http.HandlerFunc{
		"/{v}/events": stream(never),
		"HEAD /_ping": func(w http.ResponseWriter, r *http.Request) {
			if pings.Add(1); hangs.Load() {
				never(w, r)
			}
			w.Header().Set("Api-Version", "1.45")
		},
	}}.serve(t)
	c := open(t, host, WithTimeouts(Timeouts{Call: 2 * time.Second, Watch: 5 * time.Millisecond})) // a live engine answers within 2 s
	events, failed := c.Events(context.Background(), nil)
	next(t, events)
	for before := pings.Load(); pings.Load() < before+3; time.Sleep(time.Millisecond) { // pings keep it open
		select {
		case err := <-failed:
			t.Fatalf("ended while the engine was alive: %v", err)
		default:
		}
	}
	hangs.Store(true)
	if err := ended(t, events, failed); !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v, want ErrTimeout", err)
	}
}

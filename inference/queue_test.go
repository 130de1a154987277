package inference

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"fovea/internal/apierror"
)

func TestRetryAfterIsTheTimeTheQueueTakes(t *testing.T) {
	for name, test := range map[string]struct {
		each, want time.Duration
	}{
		"images that take 100 ms":           {each: 100 * time.Millisecond, want: 5 * time.Second},
		"fast ones: not less than a second": {each: time.Millisecond, want: time.Second},
		"slow ones: not more than 30 s":     {each: time.Minute, want: 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				depth := 0
				q := &queue{bound: 50, report: func(change int) { depth += change }}
				time.Sleep(time.Hour)
				for range 50 {
					if err := q.enter(1, "a", 0); err != nil {
						t.Fatal(err)
					}
				}
				for range 100 { // a full queue that moves
					time.Sleep(test.each)
					q.leave(1, "a")
					if err := q.enter(1, "a", 0); err != nil {
						t.Fatal(err)
					}
				}
				var f *apierror.Error
				if !errors.As(q.enter(1, "a", 0), &f) || f.Code != apierror.QueueFull || f.RetryAfter != test.want || f.Message != "50 images are in flight for this model; the limit is 50" {
					t.Errorf("got %+v, want queue_full with %v", f, test.want)
				}
				if q.len() != 50 || depth != 50 {
					t.Errorf("%d wait, %d were reported; want 50", q.len(), depth)
				}
			})
		})
	}
}

func TestOneSlowImageChangesRetryAfterByASixteenth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{bound: 50, report: func(int) {}}
		for range 50 {
			_ = q.enter(1, "a", 0)
		}
		for _, took := range []time.Duration{100 * time.Millisecond, 1700 * time.Millisecond} {
			time.Sleep(took)
			q.leave(1, "a")
			_ = q.enter(1, "a", 0)
		}
		var f *apierror.Error
		if !errors.As(q.enter(1, "a", 0), &f) || f.RetryAfter != 50*(100+1600/16)*time.Millisecond {
			t.Errorf("got %+v, want a Retry-After of 50 times 200 ms", f)
		}
	})
}

// A client that sends more than others may not keep them out of the queue; alone it may use what the others' share leaves.
func TestQueueKeepsAShareForOtherClients(t *testing.T) {
	q := queue{bound: 8, report: func(int) {}}
	fill := func(client string) (n int) {
		for q.enter(1, client, 0.25) == nil {
			n++
		}
		return n
	}
	if n := fill("busy"); n != 6 {
		t.Errorf("one client gets %d of 8, want 6", n)
	}
	var f *apierror.Error
	if !errors.As(q.enter(1, "busy", 0.25), &f) || f.Message != "6 images are in flight for this model; the limit is 8, and the rest is kept for other clients" {
		t.Errorf("the refusal: %v", f)
	}
	if n := fill("other"); n != 2 {
		t.Errorf("another client gets %d of the rest, want 2", n)
	}
	if err := q.enter(1, "third", 0.25); err == nil {
		t.Error("more images are in flight than the limit")
	}
	for range 6 {
		q.leave(1, "busy")
	}
	if n := fill("third"); n != 4 {
		t.Errorf("a third client gets %d, want 4 of 8 next to 2 of another's", n)
	}
	for range 2 {
		q.leave(1, "other")
	}
	for range 4 {
		q.leave(1, "third")
	}
	if q.len() != 0 || len(q.held) != 0 {
		t.Errorf("%d images and %d clients are left", q.len(), len(q.held))
	}
	if n := fill("busy"); n != 6 {
		t.Errorf("in the end one client gets %d, want 6", n)
	}
}

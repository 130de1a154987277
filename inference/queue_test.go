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
					if err := q.enter(1); err != nil {
						t.Fatal(err)
					}
				}
				for range 100 { // a full queue that moves
					time.Sleep(test.each)
					q.leave(1)
					if err := q.enter(1); err != nil {
						t.Fatal(err)
					}
				}
				var f *apierror.Error
				if !errors.As(q.enter(1), &f) || f.Code != apierror.QueueFull || f.RetryAfter != test.want || f.Message != "50 images are in flight for this model; the limit is 50" {
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
			_ = q.enter(1)
		}
		for _, took := range []time.Duration{100 * time.Millisecond, 1700 * time.Millisecond} {
			time.Sleep(took)
			q.leave(1)
			_ = q.enter(1)
		}
		var f *apierror.Error
		if !errors.As(q.enter(1), &f) || f.RetryAfter != 50*(100+1600/16)*time.Millisecond {
			t.Errorf("got %+v, want a Retry-After of 50 times 200 ms", f)
		}
	})
}

package grpcstatus

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc/codes"

	"fovea/internal/apierror"
)

func TestCodesOfAPIErrors(t *testing.T) {
	for code, want := range map[apierror.Code]codes.Code{
		apierror.Malformed:        codes.InvalidArgument,
		apierror.Unauthenticated:  codes.Unauthenticated,
		apierror.PermissionDenied: codes.PermissionDenied,
		apierror.ModelNotFound:    codes.NotFound,
		apierror.BodyTimeout:      codes.DeadlineExceeded,
		apierror.BodyTooLarge:     codes.ResourceExhausted,
		apierror.PoisonRequest:    codes.InvalidArgument,
		apierror.RateLimited:      codes.ResourceExhausted,
		apierror.QueueFull:        codes.ResourceExhausted,
		apierror.BodyDisplaced:    codes.ResourceExhausted,
		apierror.Canceled:         codes.Canceled,
		apierror.Internal:         codes.Internal,
		apierror.ReplicaLost:      codes.Unavailable,
		apierror.NotReady:         codes.Unavailable,
		apierror.Draining:         codes.Unavailable,
		apierror.GatewayBusy:      codes.Unavailable,
		apierror.DeadlineExceeded: codes.DeadlineExceeded,
	} {
		if got := Of(code); got != want {
			t.Errorf("%s is %s, want %s", code, got, want)
		}
	}
}

// A status that a server has made from an API error has the HTTP status of its kind again.
func TestHTTPStatuses(t *testing.T) {
	for code, want := range map[codes.Code]int{codes.OK: 200, codes.Unavailable: 503, codes.ResourceExhausted: 429, codes.Unauthenticated: 401,
		codes.PermissionDenied: 403, codes.InvalidArgument: 400, codes.NotFound: 404, codes.Unimplemented: 501, codes.DeadlineExceeded: 504,
		codes.Canceled: 499, codes.Internal: 500, codes.Unknown: 500, codes.Code(77): 500} {
		if got := HTTP(code); got != want {
			t.Errorf("%s is %d, want %d", code, got, want)
		}
	}
}

func TestRead(t *testing.T) {
	for text, want := range map[string]codes.Code{"0": codes.OK, "14": codes.Unavailable, "99": 99, "-1": codes.Unknown, "x": codes.Unknown} {
		if got, ok := Read(http.Header{Header: {text}}); got != want || !ok {
			t.Errorf("%q is %s, %v", text, got, ok)
		}
	}
	if _, ok := Read(http.Header{}); ok {
		t.Error("headers without a status have one")
	}
}

func TestRefuse(t *testing.T) {
	w := httptest.NewRecorder()
	Refuse(w, apierror.New(apierror.Unauthenticated, "%s", "no key, 100 % + wrong: ü"))
	h := w.Header()
	if w.Code != 200 || h.Get("Content-Type") != "application/grpc" || h.Get("Grpc-Status") != "16" || h.Get("Grpc-Message") != "no%20key%2C%20100%20%25%20%2B%20wrong%3A%20%C3%BC" || w.Body.Len() > 0 {
		t.Errorf("%d %v %q", w.Code, h, w.Body)
	}
}

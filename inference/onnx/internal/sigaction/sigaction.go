// Package sigaction keeps Go's signal handlers in place around native code that installs its own. A handler
// without SA_ONSTACK ends a Go program at the first signal ("non-Go code set up signal handler without
// SA_ONSTACK flag", os/signal, "Go programs that use cgo or SWIG").
package sigaction

/*
#include <signal.h>
#include <string.h>

#define FOVEA_SIGNALS 65 // 1 to 64 on Linux
#define FOVEA_MASK 8     // bytes of a signal mask that the kernel fills; the rest of sigset_t is unset

typedef struct {
	struct sigaction action[FOVEA_SIGNALS];
	int known[FOVEA_SIGNALS]; // glibc keeps 32 and 33 for itself and answers EINVAL
} fovea_handlers;

static void fovea_save(fovea_handlers *h) {
	for (int s = 1; s < FOVEA_SIGNALS; s++)
		h->known[s] = sigaction(s, NULL, &h->action[s]) == 0;
}

// fovea_restore puts back each handler that differs and returns how many did.
static int fovea_restore(const fovea_handlers *h) {
	int changed = 0;
	for (int s = 1; s < FOVEA_SIGNALS; s++) {
		struct sigaction now;
		if (!h->known[s] || sigaction(s, NULL, &now) != 0)
			continue;
		if (now.sa_handler == h->action[s].sa_handler && now.sa_flags == h->action[s].sa_flags &&
			memcmp(&now.sa_mask, &h->action[s].sa_mask, FOVEA_MASK) == 0)
			continue;
		if (sigaction(s, &h->action[s], NULL) == 0)
			changed++;
	}
	return changed;
}

static void fovea_swallow(int s) { (void)s; }

static int fovea_take_over(int s) {
	struct sigaction rude;
	memset(&rude, 0, sizeof rude);
	rude.sa_handler = fovea_swallow; // no SA_ONSTACK, no SA_SIGINFO
	return sigaction(s, &rude, NULL);
}
*/
import "C"

import (
	"fmt"
	"sync"
	"syscall"
)

// own are the handlers as they were when nobody was in Preserve: with a copy each, two at once could take each other's
// foreign handlers for Go's.
var own struct {
	sync.Mutex
	inside   int // calls of Preserve under way
	handlers C.fovea_handlers
}

// Preserve runs f and puts back every signal handler that was changed meanwhile. It returns how many those were. Calls do not
// wait for each other, since f may take long.
func Preserve(f func()) (changed int) {
	own.Lock()
	if own.inside == 0 {
		C.fovea_save(&own.handlers)
	}
	own.inside++
	own.Unlock()
	defer func() {
		own.Lock()
		defer own.Unlock()
		own.inside--
		changed = int(C.fovea_restore(&own.handlers))
	}()
	f()
	return changed
}

// TakeOver installs a C handler that ignores the signal, as rudely as a native library may. It is there for
// tests.
func TakeOver(s syscall.Signal) error {
	if C.fovea_take_over(C.int(s)) != 0 {
		return fmt.Errorf("signal %d cannot be handled", s)
	}
	return nil
}

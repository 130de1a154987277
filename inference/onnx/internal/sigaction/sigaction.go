// Package sigaction restores Go's signal handlers after native code that installs its own. A handler without SA_ONSTACK
// crashes a Go program at the first signal ("non-Go code set up signal handler without SA_ONSTACK flag", os/signal, "Go
// programs that use cgo or SWIG").
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

// fovea_restore restores each handler that changed and returns their number.
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

static void fovea_ignore(int s) { (void)s; }

static int fovea_replace(int s) {
	struct sigaction foreign;
	memset(&foreign, 0, sizeof foreign);
	foreign.sa_handler = fovea_ignore; // no SA_ONSTACK, no SA_SIGINFO
	return sigaction(s, &foreign, NULL);
}
*/
import "C"

import (
	"fmt"
	"sync"
	"syscall"
)

// saved are the handlers from before the first of the calls of Preserve in progress. With a copy per call, concurrent
// calls could mistake each other's foreign handlers for Go's.
var saved struct {
	sync.Mutex
	calls    int // in progress
	handlers C.fovea_handlers
}

// Preserve runs f, restores every signal handler that changed meanwhile, and returns their number. Calls do not wait for
// each other, since f may take long.
func Preserve(f func()) (changed int) {
	saved.Lock()
	if saved.calls == 0 {
		C.fovea_save(&saved.handlers)
	}
	saved.calls++
	saved.Unlock()
	defer func() {
		saved.Lock()
		defer saved.Unlock()
		saved.calls--
		changed = int(C.fovea_restore(&saved.handlers))
	}()
	f()
	return changed
}

// Replace installs a C handler without SA_ONSTACK that ignores the signal, as a native library may. It exists for tests,
// which cannot use cgo themselves.
func Replace(s syscall.Signal) error {
	if C.fovea_replace(C.int(s)) != 0 {
		return fmt.Errorf("signal %d cannot be handled", s)
	}
	return nil
}

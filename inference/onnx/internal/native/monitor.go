package native

/*
#include <sys/prctl.h>

// Go's monitor thread (runtime.sysmon) takes the processors of threads in C from them when others need one, which it
// finds out by polling: for a while after each time it sleeps for 20 µs only. With runs of milliseconds in C, it woke 14 times
// per run, each time interrupting a run. Linux may prolong a thread's sleeps by its timer slack, 50 µs by default. A thread
// inherits it from the one that creates it, and the runtime creates the monitor thread before packages are initialized. Other
// threads that it creates as early get the slack as well; their timers have a resolution of a millisecond anyway.
enum { fovea_monitor_slack = 500 * 1000 }; // nanoseconds

static int fovea_slack_before;

__attribute__((constructor)) static void fovea_slow_monitor(void) {
	fovea_slack_before = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	if (fovea_slack_before > 0 && fovea_slack_before < fovea_monitor_slack)
		prctl(PR_SET_TIMERSLACK, fovea_monitor_slack, 0, 0, 0);
}

static void fovea_restore_slack(void) {
	if (fovea_slack_before > 0)
		prctl(PR_SET_TIMERSLACK, fovea_slack_before, 0, 0, 0);
}
*/
import "C"

// init runs on the main thread, from which the threads that are created later inherit, directly or indirectly.
func init() { C.fovea_restore_slack() }

// Places: which core and which arena a run uses. Linux moves threads between cores by their load and not by what they do, so
// that two runs of a process may share a core for a long time while another process has the next one to itself. A run on one
// thread therefore holds a core: the one it is on, unless another run of this process holds that. Threads are free again
// between runs, so that Linux can place them elsewhere.

#include "place.h"

#include "arena.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool held[CPU_SETSIZE];
static struct {
	bool taken;
	int core; // where the last run was
} used[FOVEA_ARENAS] = {[0 ... FOVEA_ARENAS - 1] = {false, -1}};
static int known = 1; // arenas that have been used, of which the first is for all that is not a run

static bool is_open(const cpu_set_t *all, int core) {
	return core >= 0 && core < CPU_SETSIZE && CPU_ISSET(core, all) && !held[core];
}

// choose_core is the core for a run on a thread that is on one now: that core, or one where a free arena was used, or
// the next; -1 if all are held.
static int choose_core(const cpu_set_t *all, int now) {
	if (is_open(all, now))
		return now;
	for (int i = 1; i < known; i++)
		if (!used[i].taken && is_open(all, used[i].core))
			return used[i].core;
	for (int i = 1; i <= CPU_SETSIZE; i++)
		if (is_open(all, (now + i) % CPU_SETSIZE))
			return (now + i) % CPU_SETSIZE;
	return -1;
}

// choose_arena is the arena that was last used on a core, or the first free one: as few are used as there are runs at once.
static int choose_arena(int core) {
	int found = 0;
	for (int i = 1; i < known; i++) {
		if (used[i].taken)
			continue;
		if (used[i].core == core)
			return i;
		if (found == 0)
			found = i;
	}
	if (found == 0 && known < FOVEA_ARENAS)
		found = known++;
	return found;
}

// fovea_place_enter gives this thread a place, until fovea_place_leave. A thread that does not hold a core is one of several
// of its run, or not bound by the cores.
fovea_place fovea_place_enter(bool hold) {
	fovea_place place = {.core = -1};
	int now = sched_getcpu();
	hold = hold && now >= 0 && sched_getaffinity(0, sizeof place.all, &place.all) == 0 && CPU_COUNT(&place.all) > 1;
	pthread_mutex_lock(&lock);
	if (hold && (place.core = choose_core(&place.all, now)) >= 0)
		held[now = place.core] = true;
	place.arena = choose_arena(now);
	used[place.arena].taken = true;
	used[place.arena].core = now;
	pthread_mutex_unlock(&lock);
	fovea_arena_use(place.arena);
	if (place.core >= 0) {
		cpu_set_t one;
		CPU_ZERO(&one);
		CPU_SET(place.core, &one);
		sched_setaffinity(0, sizeof one, &one); // if it fails, the thread runs anywhere, as before
	}
	return place;
}

void fovea_place_leave(const fovea_place *place) {
	if (place->core >= 0)
		sched_setaffinity(0, sizeof place->all, &place->all);
	fovea_arena_use(0);
	pthread_mutex_lock(&lock);
	if (place->core >= 0)
		held[place->core] = false;
	used[place->arena].taken = false;
	pthread_mutex_unlock(&lock);
}

#ifndef FOVEA_PLACE_H
#define FOVEA_PLACE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <stdbool.h>

// fovea_place is where a run computes: its arena, and the core that it has to itself among the runs of this process.
typedef struct {
	int arena;
	int core;      // -1: any
	cpu_set_t all; // the cores that the thread may use otherwise
} fovea_place;

fovea_place fovea_place_enter(bool hold);
void fovea_place_leave(const fovea_place *place);

#endif

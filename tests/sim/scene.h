/* scene.h: steps of a tape as a scene in the grammar of tests/play.h, which can be pasted into a test. */
#ifndef SIM_SCENE_H
#define SIM_SCENE_H

#include <stdio.h>

#include "tests/sim/tape.h"

/* Print these steps, and at the failing one what the answer should have been. */
void scene_print(FILE *out, const struct tape *tape, const uint32_t *steps, uint32_t count);

#endif

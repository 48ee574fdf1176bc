/* clock.h - the clock of the whole program. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds of the monotonic clock: for deadlines and durations, never for a date. */
int64_t clock_now_ms(void);

#endif

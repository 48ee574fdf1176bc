/* fake_hostile.h - see fake_hostile.c */
#ifndef FAKE_HOSTILE_H
#define FAKE_HOSTILE_H

void hostile_try(const char *line);

#endif

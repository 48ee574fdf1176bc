/* listen_holder.h - who holds a TCP port, by /proc. Private to http/. */
#ifndef HTTP_LISTEN_HOLDER_H
#define HTTP_LISTEN_HOLDER_H

#include "base/base.h"

/* "process 123 (/usr/sbin/nginx)", or "another user's process" where /proc does not show it. */
void listen_holder(unsigned port, char *ret_text, size_t size);

/* "/usr/bin/gfxbridge" of a process; "" unknown. */
void listen_program(int pid, char *ret_text, size_t size);

#endif

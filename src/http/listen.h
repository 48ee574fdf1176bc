/* listen.h - the sockets that clients come to. Private to http/. */
#ifndef HTTP_LISTEN_H
#define HTTP_LISTEN_H

#include "api/api.h"
#include "http/http.h"

struct listener {
    struct loop_source source;
    struct loop_timer again; /* while there is no descriptor for a client */
    struct serve *serve;
    bool control; /* the control socket of this user */
};

/* The service manager's sockets (LISTEN_FDS), else host and port of the configuration. A socket
 * that others than this computer can reach needs a key: -EACCES. */
int listen_open(struct serve *s, struct gfxb_error *err);
/* The control socket runtime_dir/serve.sock. ret_lock: held while we live. -EADDRINUSE: another
 * server of this user runs. */
int listen_control(struct serve *s, int *ret_lock, struct gfxb_error *err);
/* "127.0.0.1:13305", or the path of a socket. */
void listen_address(const struct listener *listener, char *ret_text, size_t size);
void listen_close(struct serve *s);

/* "runtime_dir/serve.sock", to be freed; NULL when it is too long for a socket's name. */
char *listen_control_path(const char *runtime_dir);

#endif

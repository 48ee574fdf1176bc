// Writes the trained canary as a GGUF version 3 file.
#ifndef CANARY_GGUF_H
#define CANARY_GGUF_H

#include "net.h"
#include "vocab.h"

// Replaces `path` in one step. 0, or -1 with a message on stderr.
int gguf_write(const char *path, const struct net_layout *l, const float *weights,
               const struct vocab *v);

#endif

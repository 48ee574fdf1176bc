/* chat_image.h - a picture as a part of a chat message. Private to cli/. */
#ifndef CLI_CHAT_IMAGE_H
#define CLI_CHAT_IMAGE_H

#include "cli/cli.h"

/* Read a PNG, JPEG, WebP or GIF file of at most 20 MiB as an OpenAI content part with a data: URL.
 * ret_part: a new reference. */
int chat_image_read(const char *file, json_t **ret_part, struct gfxb_error *err);

#endif

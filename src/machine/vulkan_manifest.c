/*
 * vulkan_manifest.c - two strings out of a Vulkan ICD manifest: ICD.library_path and
 * ICD.library_arch. A reader for this one purpose: the core has no JSON library. Format: the Vulkan
 * loader's LoaderDriverInterface.md.
 */
#include "machine/machine_private.h"

#include <errno.h>

#define MANIFEST_DEPTH_MAX  16
#define MANIFEST_STRING_MAX 512

struct manifest_reader {
    struct str rest;
    unsigned depth;
    char key[MANIFEST_STRING_MAX];   /* of the pair being read, at any depth */
    char outer[MANIFEST_STRING_MAX]; /* key of the object at depth 2 */
};

static void manifest_skip_blanks(struct manifest_reader *r)
{
    while (r->rest.n && strchr(" \t\r\n", r->rest.p[0]) && r->rest.p[0] != '\0') {
        r->rest.p++;
        r->rest.n--;
    }
}

static char manifest_peek(struct manifest_reader *r)
{
    manifest_skip_blanks(r);
    return r->rest.n ? r->rest.p[0] : '\0';
}

static void manifest_drop(struct manifest_reader *r, size_t n)
{
    r->rest.p += n;
    r->rest.n -= n;
}

/* A string, its quote still to come. \uXXXX is no path of ours: -EINVAL. */
static int manifest_string(struct manifest_reader *r, char ret[static MANIFEST_STRING_MAX])
{
    size_t n = 0;
    manifest_drop(r, 1);
    while (r->rest.n) {
        char c = r->rest.p[0];
        manifest_drop(r, 1);
        if (c == '"') {
            ret[n] = '\0';
            return 0;
        }
        if (c == '\\') {
            c = r->rest.n ? r->rest.p[0] : 'u';
            if (!strchr("\"\\/", c) || c == '\0')
                return -EINVAL;
            manifest_drop(r, 1);
        }
        if ((unsigned char)c < ' ' || n + 1 >= MANIFEST_STRING_MAX)
            return -EINVAL;
        ret[n++] = c;
    }
    return -EINVAL;
}

static int manifest_take(char *ret, size_t size, const char *value)
{
    size_t n = strlen(value);
    if (n >= size)
        return -EINVAL;
    memcpy(ret, value, n + 1);
    return 0;
}

/* A string that is a value, or a key when a colon follows. */
static int manifest_take_string(struct manifest_reader *r, char *library, size_t size, char *arch,
                                size_t arch_size)
{
    char text[MANIFEST_STRING_MAX];
    int e = manifest_string(r, text);
    if (e < 0)
        return e;
    if (manifest_peek(r) == ':') {
        manifest_drop(r, 1);
        return manifest_take(r->key, sizeof(r->key), text);
    }
    if (r->depth != 2 || strcmp(r->outer, "ICD") != 0)
        return 0;
    if (strcmp(r->key, "library_path") == 0)
        return manifest_take(library, size, text);
    return strcmp(r->key, "library_arch") == 0 ? manifest_take(arch, arch_size, text) : 0;
}

int machine_parse_manifest(struct str json, char *ret_library, size_t size, char *ret_arch,
                           size_t arch_size)
{
    struct manifest_reader r = {.rest = json};
    char library[MANIFEST_STRING_MAX] = "", arch[MANIFEST_STRING_MAX] = "";
    int e = 0;
    char c;
    while (e == 0 && (c = manifest_peek(&r)) != '\0') {
        if (c == '"') {
            e = manifest_take_string(&r, library, size < sizeof(library) ? size : sizeof(library),
                                     arch, arch_size < sizeof(arch) ? arch_size : sizeof(arch));
            continue;
        }
        if (c == '{' || c == '[') {
            if (++r.depth > MANIFEST_DEPTH_MAX)
                return -EINVAL;
            if (r.depth == 2)
                memcpy(r.outer, r.key, sizeof(r.outer));
        } else if ((c == '}' || c == ']') && r.depth-- == 0) {
            return -EINVAL;
        }
        manifest_drop(&r, 1);
    }
    if (e < 0 || r.depth != 0 || !library[0])
        return -EINVAL;
    memcpy(ret_library, library, strlen(library) + 1);
    memcpy(ret_arch, arch, strlen(arch) + 1);
    return 0;
}

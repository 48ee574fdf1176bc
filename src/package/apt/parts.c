/* parts.c - which .deb files make an engine package, as apt says. */
#include "package/apt/apt.h"

#include <errno.h>
#include <stdio.h>

#define PARTS_MAX 1024

/* "libc6_2.43-7_amd64.deb", a colon in the version written as %3a. */
static int parts_split_name(struct debian_part *part, struct str file)
{
    struct str name, version, piece;
    struct buf CLEAN_BUF plain = BUF_INIT(512);
    part->file = xstr_dup(file);
    if (!str_cut(&file, '_', &name) || !str_cut(&file, '_', &version) || !file.n)
        return -EBADMSG;
    for (bool first = true; str_cut(&version, '%', &piece); first = false) {
        if (!first && !str_strip(&piece, STR("3a")))
            return -EBADMSG;
        if (!first)
            buf_add_char(&plain, ':');
        buf_add_str(&plain, piece);
    }
    if (!buf_ok(&plain))
        return -EBADMSG;
    part->name = xstr_dup(name);
    part->version = xbuf_take(&plain);
    return 0;
}

/* 'uri' file size SHA256:hex */
static int parts_parse_line(struct debian_part *part, struct str line)
{
    struct str uri, file, size, digest, kind;
    if (!str_word(&line, &uri) || !str_word(&line, &file) || !str_word(&line, &size))
        return -EBADMSG;
    if (memchr(file.p, '/', file.n) || !str_ends(file, STR(".deb")) ||
        str_to_u64(size, 10, &part->size) < 0)
        return -EBADMSG;
    if (!str_word(&line, &digest) || !str_cut(&digest, ':', &kind) || !str_is(kind, "SHA256") ||
        digest.n != DIGEST_HEX - 1)
        return -GFXB_E_DIGEST_MISSING;
    snprintf(part->sha256, sizeof(part->sha256), "%.*s", STR_ARG(digest));
    return parts_split_name(part, file);
}

static void parts_part_done(struct debian_part *part)
{
    free(part->file);
    free(part->name);
    free(part->version);
}

static int parts_add(struct debian_parts *parts, struct str line)
{
    struct debian_part part = {0};
    int r = parts->n < PARTS_MAX ? parts_parse_line(&part, line) : -EBADMSG;
    if (r < 0) {
        parts_part_done(&part);
        return r;
    }
    parts->part = xreallocarray(parts->part, parts->n + 1, sizeof(*parts->part));
    parts->part[parts->n++] = part;
    parts->download_bytes += part.size;
    return 0;
}

int debian_parts_parse(struct str text, struct debian_parts *ret_parts, struct gfxb_error *err)
{
    struct debian_parts parts = {0};
    struct str line = STR_NONE;
    int r = 0;
    while (r == 0 && str_cut(&text, '\n', &line)) {
        if (str_starts(line, STR("'")))
            r = parts_add(&parts, line);
    }
    if (r == 0 && !parts.n)
        r = -EBADMSG;
    if (r < 0) {
        debian_parts_done(&parts);
        if (r == -GFXB_E_DIGEST_MISSING)
            return error_set(err, GFXB_E_DIGEST_MISSING,
                             "the archive's index gives no SHA-256 for \"%.*s\"", STR_ARG(line));
        return error_set(err, EBADMSG, "cannot understand apt's list of packages at \"%.*s\"",
                         STR_ARG(line));
    }
    *ret_parts = parts;
    return 0;
}

void debian_parts_done(struct debian_parts *parts)
{
    for (size_t i = 0; i < parts->n; i++)
        parts_part_done(&parts->part[i]);
    free(parts->part);
    free(parts->gfx);
    *parts = (struct debian_parts){0};
}

void debian_parts_add_facts(struct debian_parts *parts, struct str stanzas)
{
    struct str stanza;
    while (deb822_stanza(&stanzas, &stanza)) {
        uint64_t kib = 0;
        if (!debian_parts_find(parts, deb822_field(stanza, "Package")))
            continue;
        if (str_to_u64(deb822_field(stanza, "Installed-Size"), 10, &kib) == 0 && kib < 1u << 31)
            parts->installed_bytes += kib * 1024;
        struct str gfx = deb822_field(stanza, "X-Rocm-Gpu-Architecture");
        if (gfx.n && !parts->gfx)
            parts->gfx = xstr_dup(gfx);
    }
}

void debian_parts_names(const struct debian_parts *parts, struct buf *ret)
{
    for (size_t i = 0; i < parts->n; i++)
        buf_addf(ret, "%s%s", i ? " " : "", parts->part[i].name);
}

const struct debian_part *debian_parts_find(const struct debian_parts *parts, struct str name)
{
    for (size_t i = 0; i < parts->n; i++) {
        if (str_is(name, parts->part[i].name))
            return &parts->part[i];
    }
    return NULL;
}

static int parts_compare(const void *a, const void *b)
{
    const struct debian_part *const *one = a, *const *other = b;
    return strcmp((*one)->sha256, (*other)->sha256);
}

void debian_parts_identity(const struct debian_parts *parts, unsigned recipe, struct buf *ret)
{
    const struct debian_part **CLEAN_FREE sorted = xcalloc(parts->n, sizeof(*sorted));
    for (size_t i = 0; i < parts->n; i++)
        sorted[i] = &parts->part[i];
    qsort(sorted, parts->n, sizeof(*sorted), parts_compare);
    for (size_t i = 0; i < parts->n; i++)
        buf_addf(ret, "%s\n", sorted[i]->sha256);
    buf_addf(ret, "recipe %u\n", recipe);
}

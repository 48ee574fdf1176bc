/* address.c - what of a URL decides where a request and its secrets may go. */
#include "fetch/fetch_private.h"

#include <errno.h>

#define ADDRESS_URL_MAX 16384

/* "" when the URL has no such part. To be freed by the caller. */
static char *address_part(CURLU *parser, CURLUPart part, unsigned flags)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(parser, part, &text, flags);
    if (code == CURLUE_OUT_OF_MEMORY)
        xalloc_die();
    char *copy = xstrdup(code == CURLUE_OK && text ? text : "");
    curl_free(text);
    return copy;
}

static void address_fill(CURLU *parser, struct address *a)
{
    char *CLEAN_FREE path = address_part(parser, CURLUPART_PATH, CURLU_URLDECODE);
    a->scheme = address_part(parser, CURLUPART_SCHEME, 0);
    a->host = address_part(parser, CURLUPART_HOST, 0);
    a->port = address_part(parser, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    a->name = xstrdup(fs_name(path));
}

int address_parse(const char *url, struct address *ret_address, struct gfxb_error *err)
{
    struct address a = {0};
    CURLU *parser = curl_url();
    if (!parser)
        xalloc_die();
    bool is_url = strlen(url) <= ADDRESS_URL_MAX &&
                  curl_url_set(parser, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK;
    if (is_url)
        address_fill(parser, &a);
    curl_url_cleanup(parser);
    if (!is_url)
        return error_set(err, EINVAL, "\"%.100s\" is not a URL", url);
    if (strcmp(a.scheme, "https") != 0 && strcmp(a.scheme, "http") != 0 &&
        strcmp(a.scheme, "file") != 0) {
        address_done(&a);
        return error_set(err, EINVAL, "\"%.100s\" is not an https, http or file URL", url);
    }
    *ret_address = a;
    return 0;
}

void address_done(struct address *a)
{
    free(a->scheme);
    free(a->host);
    free(a->port);
    free(a->name);
    *a = (struct address){0};
}

bool address_same_origin(const struct address *a, const struct address *b)
{
    return strcmp(a->scheme, b->scheme) == 0 &&
           str_eq_nocase(str_from(a->host), str_from(b->host)) && strcmp(a->port, b->port) == 0;
}

bool address_takes_secret(const struct address *a)
{
    return strcmp(a->scheme, "https") == 0 || strcmp(a->host, "127.0.0.1") == 0 ||
           strcmp(a->host, "[::1]") == 0 || strcmp(a->host, "localhost") == 0;
}

bool address_may_lead_to(const struct address *from, const struct address *to)
{
    if (strcmp(to->scheme, "https") == 0)
        return strcmp(from->scheme, "file") != 0;
    return strcmp(to->scheme, "http") == 0 && strcmp(from->scheme, "http") == 0;
}

int address_rewrite(const struct fetch_config *config, const char *url, char **ret_url,
                    struct gfxb_error *err)
{
    struct str rest = str_from(url);
    struct str mirror = str_trim_end(str_from(config->mirror), '/');
    struct buf CLEAN_BUF out = BUF_INIT(ADDRESS_URL_MAX);
    const char *scheme_end = strstr(url, "://");
    if (mirror.n && scheme_end && !str_starts(rest, STR("file:")) && !str_starts(rest, mirror)) {
        const char *host = scheme_end + 3;
        const char *at = memrchr(host, '@', strcspn(host, "/?#"));
        buf_addf(&out, "%.*s/%s", STR_ARG(mirror), at ? at + 1 : host);
    } else {
        buf_add_str(&out, rest);
    }
    if (!buf_ok(&out))
        return error_set(err, EINVAL, "the URL \"%.100s...\" is too long", url);
    *ret_url = xbuf_take(&out);
    return 0;
}

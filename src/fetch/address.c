#include "fetch/address.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>

#define ADDRESS_URL_MAX 16384

static const char *const address_schemes[] = {"https", "http", "file"};

static int address_part(CURLU *parser, CURLUPart part, unsigned flags, char **ret_text)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(parser, part, &text, flags);
    if (code == CURLUE_OUT_OF_MEMORY)
        return -ENOMEM;
    char *copy = strdup(code == CURLUE_OK && text ? text : "");
    curl_free(text);
    if (!copy)
        return -ENOMEM;
    *ret_text = copy;
    return 0;
}

static int address_fill(CURLU *parser, struct address *a)
{
    char *CLEAN_FREE path = NULL;
    int r = address_part(parser, CURLUPART_SCHEME, 0, &a->scheme);
    if (r == 0)
        r = address_part(parser, CURLUPART_HOST, 0, &a->host);
    if (r == 0)
        r = address_part(parser, CURLUPART_PORT, CURLU_DEFAULT_PORT, &a->port);
    if (r == 0)
        r = address_part(parser, CURLUPART_PATH, CURLU_URLDECODE, &path);
    if (r < 0)
        return r;
    const char *slash = strrchr(path, '/');
    a->name = strdup(slash ? slash + 1 : path);
    return a->name ? 0 : -ENOMEM;
}

int address_parse(const char *url, struct address *ret_address, struct gfxb_error *err)
{
    CURLU *parser = curl_url();
    struct address a = {0};
    if (!parser)
        return error_set(err, ENOMEM, "out of memory");
    int r = 0;
    if (strlen(url) > ADDRESS_URL_MAX ||
        curl_url_set(parser, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
        r = error_set(err, EINVAL, "\"%.100s\" is not a URL", url);
    else if (address_fill(parser, &a) < 0)
        r = error_set(err, ENOMEM, "out of memory");
    curl_url_cleanup(parser);
    for (size_t i = 0; r == 0; i++) {
        if (i == sizeof(address_schemes) / sizeof(address_schemes[0]))
            r = error_set(err, EINVAL, "\"%.100s\" is no https, http or file URL", url);
        else if (strcmp(a.scheme, address_schemes[i]) == 0)
            break;
    }
    if (r < 0)
        address_done(&a);
    else
        *ret_address = a;
    return r;
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
    struct str mirror = str_from(config->mirror);
    while (mirror.n && mirror.p[mirror.n - 1] == '/')
        mirror.n--;
    struct buf CLEAN_BUF out = BUF_INIT(ADDRESS_URL_MAX);
    const char *scheme_end = strstr(url, "://");
    if (mirror.n && scheme_end && !str_starts(rest, STR("file:")) && !str_starts(rest, mirror)) {
        const char *host = scheme_end + 3;
        size_t n = strcspn(host, "/?#");
        const char *at = memrchr(host, '@', n);
        if (at)
            host = at + 1;
        buf_add_str(&out, mirror);
        buf_add_char(&out, '/');
        buf_add_text(&out, host);
    } else {
        buf_add_str(&out, rest);
    }
    char *text = buf_take(&out);
    if (!text)
        return error_set(err, EINVAL, "the URL \"%.100s...\" is too long", url);
    *ret_url = text;
    return 0;
}

/* headers.c - what a server's header lines say about the file and about trying again. */
#include "fetch/fetch_private.h"

void headers_init(struct headers *a)
{
    *a = (struct headers){.retry_after = -1};
}

static void headers_copy(char *ret, size_t size, struct str value)
{
    ret[0] = '\0';
    if (value.n >= size || (value.n && memchr(value.p, '\0', value.n)))
        return;
    if (value.n)
        memcpy(ret, value.p, value.n);
    ret[value.n] = '\0';
}

/* "bytes 100-199/200", "bytes 100-199/" and a star, "bytes " star "/200" (with 416). */
static void headers_take_range(struct headers *a, struct str value)
{
    struct str unit, start;
    uint64_t number = 0;
    if (!str_word(&value, &unit) || !str_eq_nocase(unit, STR("bytes")))
        return;
    value = str_trim(value);
    struct str span;
    if (!str_cut(&value, '/', &span))
        return;
    if (str_to_u64(str_trim(value), 10, &number) == 0)
        a->range_total = number;
    if (str_cut(&span, '-', &start) && str_to_u64(str_trim(start), 10, &number) == 0) {
        a->has_range = true;
        a->range_start = number;
    }
}

/* Seconds, or a date. */
static void headers_take_retry_after(struct headers *a, struct str value, int64_t now)
{
    uint64_t seconds = 0;
    char text[64];
    if (str_to_u64(value, 10, &seconds) == 0) {
        a->retry_after = seconds > 365 * 86400 ? 365 * 86400 : (int64_t)seconds;
        return;
    }
    headers_copy(text, sizeof(text), value);
    time_t when = curl_getdate(text, NULL);
    if (when > 0)
        a->retry_after = when > now ? (int64_t)when - now : 0;
}

/* "api";r=0;t=55: seconds until there are more requests. It comes with good answers too. */
static void headers_take_limit(struct headers *a, struct str value)
{
    struct str item;
    uint64_t number = 0;
    while (str_cut(&value, ';', &item)) {
        item = str_trim(item);
        if (str_strip(&item, STR("t=")) && str_to_u64(item, 10, &number) == 0 &&
            number < 365 * 86400 && a->status == 429 && a->retry_after < 0)
            a->retry_after = (int64_t)number;
    }
}

static void headers_take(struct headers *a, struct str name, struct str value, int64_t now)
{
    uint64_t number = 0;
    bool is_number = str_to_u64(value, 10, &number) == 0;
    if (str_eq_nocase(name, STR("content-length")) && is_number) {
        a->has_length = true;
        a->length = number;
    } else if (str_eq_nocase(name, STR("content-range"))) {
        headers_take_range(a, value);
    } else if (str_eq_nocase(name, STR("content-type"))) {
        a->html = str_starts_nocase(value, STR("text/html"));
    } else if (str_eq_nocase(name, STR("etag"))) {
        headers_copy(a->etag, sizeof(a->etag), value);
    } else if (str_eq_nocase(name, STR("last-modified"))) {
        headers_copy(a->modified, sizeof(a->modified), value);
    } else if (str_eq_nocase(name, STR("retry-after"))) {
        headers_take_retry_after(a, value, now);
    } else if (str_eq_nocase(name, STR("ratelimit"))) {
        headers_take_limit(a, value);
    } else if (str_eq_nocase(name, STR("x-ratelimit-reset")) && is_number && number < 1ull << 40) {
        a->limit_reset = (int64_t)number;
    } else if (str_eq_nocase(name, STR("x-ratelimit-remaining")) && is_number) {
        a->limit_used_up = number == 0;
    }
}

void headers_add_line(struct headers *a, struct str line, int64_t now, struct str *ret_name,
                      struct str *ret_value)
{
    *ret_name = STR_NONE;
    *ret_value = STR_NONE;
    line = str_trim(line);
    if (str_starts(line, STR("HTTP/"))) {
        struct str protocol, code;
        uint64_t status = 0;
        headers_init(a);
        if (str_word(&line, &protocol) && str_word(&line, &code) &&
            str_to_u64(code, 10, &status) == 0 && status < 1000)
            a->status = (long)status;
        return;
    }
    const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
    if (!colon)
        return;
    struct str name = {line.p, (size_t)(colon - line.p)};
    struct str value = str_trim((struct str){colon + 1, line.n - name.n - 1});
    headers_take(a, name, value, now);
    *ret_name = name;
    *ret_value = value;
}

const char *headers_validator(const struct headers *a)
{
    return a->etag[0] && !str_starts(str_from(a->etag), STR("W/")) ? a->etag : a->modified;
}

bool headers_is_limit(const struct headers *a)
{
    return a->status == 429 || (a->status == 403 && (a->limit_used_up || a->retry_after >= 0));
}

int64_t headers_limit_until(const struct headers *a, int64_t now)
{
    if (a->retry_after >= 0)
        return now + a->retry_after;
    return a->limit_reset > now ? a->limit_reset : 0;
}

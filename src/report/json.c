/* json.c - values of JSON answers: texts of foreign origin, numbers that may be unknown, lists. */
#include "base/xalloc.h"
#include "report/report.h"

/* A larger one is somebody's request or a long answer: jansson reports that there is no memory for
 * it. */
#define JSON_SMALL_MAX (1u << 20)

static void *json_allocate(size_t n)
{
    return n > JSON_SMALL_MAX ? malloc(n) : xmalloc(n);
}

void report_json_init(void)
{
    json_set_alloc_funcs(json_allocate, free);
}

/* Bytes that are no UTF-8 become '?'. */
static json_t *json_clean(struct str s)
{
    json_t *value = json_stringn(s.p, s.n);
    if (value)
        return value;
    char *CLEAN_FREE copy = xstr_dup(s);
    for (size_t i = 0, n; i < s.n; i += n ? n : 1) {
        n = utf8_length((struct str){s.p + i, s.n - i});
        if (n == 0)
            copy[i] = '?';
    }
    return json_stringn(copy, s.n);
}

json_t *report_json_string(const char *text)
{
    return json_clean(str_from(text ? text : ""));
}

json_t *report_json_str(struct str s)
{
    return s.n ? json_clean(s) : json_null();
}

json_t *report_json_text(const char *text)
{
    return report_json_str(str_from(text));
}

json_t *report_json_bytes(uint64_t bytes)
{
    return bytes && bytes <= INT64_MAX ? json_integer((json_int_t)bytes) : json_null();
}

json_t *report_json_tri(enum tri value)
{
    return value == TRI_UNKNOWN ? json_null() : json_boolean(value == TRI_YES);
}

json_t *report_json_words(struct str list)
{
    json_t *array = json_array();
    struct str word;
    while (str_word(&list, &word))
        json_array_append_new(array, report_json_str(word));
    return array;
}

json_t *report_json_strings(char *const *list)
{
    json_t *array = json_array();
    for (; list && *list; list++)
        json_array_append_new(array, report_json_text(*list));
    return array;
}

void report_bytes_text(uint64_t bytes, char *ret_text, size_t size)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t i = 0;
    double value = (double)bytes;
    while (value >= 1024 && i < 4) {
        value /= 1024;
        i++;
    }
    if (bytes == 0)
        snprintf(ret_text, size, "unknown");
    else
        snprintf(ret_text, size, i ? "%.1f %s" : "%.0f %s", value, unit[i]);
}

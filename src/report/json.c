#include "report/report.h"

/* Text of foreign origin may be no UTF-8: then each bad byte becomes '?'. */
json_t *report_json_str(struct str s)
{
    if (s.n == 0)
        return json_null();
    json_t *value = json_stringn(s.p, s.n);
    if (value)
        return value;
    char *CLEAN_FREE copy = str_dup(s);
    for (size_t i = 0; copy && i < s.n; i++) {
        if ((unsigned char)copy[i] >= 0x80)
            copy[i] = '?';
    }
    return copy ? json_stringn(copy, s.n) : NULL;
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

/* fuzz_http.c - any bytes as a request's head, as an engine's answer, as a chunked body in pieces
 * of any size, and as the values that the guard looks at. */
#include "http/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

static void within(struct str view, struct str bytes)
{
    must(!view.n || (view.p >= bytes.p && view.p + view.n <= bytes.p + bytes.n));
}

static void fuzz_request(struct str bytes)
{
    struct request_head head;
    const char *why = NULL;
    size_t from = 0, end = http_head_end(bytes, &from);
    bytes.n = end ? end : bytes.n;
    int status = request_head_read(bytes, &head, &why);
    if (status < 0) {
        must(why && *why && -status >= 400 && -status < 600);
        return;
    }
    within(head.path, bytes);
    within(head.query, bytes);
    within(head.fields, bytes);
    for (size_t i = 0; i < REQUEST_KNOWN; i++)
        within(head.known[i], bytes);
    must(!head.chunked || head.length == 0);
    must(head.path.p[0] == '/' || str_is(head.path, "*"));
    request_head_field(&head, "host");
}

/* The same body at once and in pieces: the same content, the same end, the same verdict. */
static void fuzz_chunks(const uint8_t *data, size_t size)
{
    struct http_chunks whole = {0}, pieces = {0};
    size_t step = size ? data[0] % 7 + 1 : 1, n = 0, used = 0, sum = 0, taken = 0;
    char *once = malloc(size + 1), *parts = malloc(size + 1);
    int verdict = 0;
    must(once && parts);
    memcpy(once, data, size);
    memcpy(parts, data, size);
    int expected = http_chunks_take(&whole, once, size, &n, &used);
    for (size_t at = 0; at < size && verdict == 0; at += step) {
        size_t part = size - at < step ? size - at : step, m = 0, u = 0;
        verdict = http_chunks_take(&pieces, parts + at, part, &m, &u);
        if (verdict >= 0 && expected >= 0)
            must(sum + m <= n && memcmp(once + sum, parts + at, m) == 0);
        if (verdict >= 0) {
            sum += m;
            taken += u;
        }
    }
    must((expected < 0) == (verdict < 0));
    if (expected >= 0)
        must(expected == verdict && sum == n && taken == used);
    free(once);
    free(parts);
}

static void fuzz_guard(struct str bytes)
{
    static const char *const keys[] = {"a key", "another", NULL};
    const struct http_server_config config = {.keys = keys};
    struct guard guard;
    struct str first;
    guard_init(&guard, &config);
    must(!guard_key_ok(&guard, STR_NONE, STR_NONE));
    while (str_cut(&bytes, '\n', &first)) {
        guard_host_ok(&guard, first);
        guard_origin_ok(&guard, first);
        guard_type_is_json(first);
        if (guard_key_ok(&guard, STR_NONE, first))
            must(str_is(first, keys[0]) || str_is(first, keys[1]));
        guard_key_ok(&guard, first, STR_NONE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct str bytes = {(const char *)data + 1, size - 1};
    struct http_answer answer;
    switch (data[0] & 3) {
    case 0:
        fuzz_request(bytes);
        break;
    case 1:
        if (http_answer_read(bytes, &answer) == 0)
            must(answer.status >= 100 && answer.status < 600);
        break;
    case 2:
        fuzz_chunks(data + 1, size - 1);
        break;
    default:
        fuzz_guard(bytes);
    }
    return 0;
}

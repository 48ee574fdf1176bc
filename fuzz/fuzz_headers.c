/* fuzz_headers.c - any bytes as the header lines of a server's answer. */
#include "fetch/fetch_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size}, line, name, value;
    struct headers headers;
    headers_init(&headers);
    while (str_cut(&rest, '\n', &line)) {
        headers_add_line(&headers, line, 1795000000, &name, &value);
        if (strlen(headers_validator(&headers)) >= HEADERS_VALIDATOR_MAX)
            __builtin_trap();
        if (headers_is_limit(&headers))
            headers_limit_until(&headers, 1795000000);
    }
    return 0;
}

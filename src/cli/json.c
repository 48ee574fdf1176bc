#include "cli/cli.h"

#include <errno.h>

int cli_print_json(json_t *object, struct gfxb_error *err)
{
    json_t *whole = json_pack("{s:i}", "schema", 1);
    int result = 0;
    if (!object || !whole || json_object_update(whole, object) < 0)
        result = error_set(err, ENOMEM, "cannot build the JSON answer: out of memory");
    else if (json_dumpf(whole, stdout, JSON_INDENT(2)) < 0 || putchar('\n') == EOF)
        result = error_set(err, EIO, "cannot write the JSON answer to stdout");
    json_decref(whole);
    json_decref(object);
    return result;
}

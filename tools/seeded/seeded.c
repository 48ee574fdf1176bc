/* seeded.c - for tools/seeded/seeded.py: writes a seeded canary, or prints a prompt's tokens. */
#include "engine/seeded.h"

#include <stdio.h>

static int usage(void)
{
    fprintf(stderr,
            "usage: seeded SHAPE TYPES SEED > FILE.gguf\n       seeded prompt SEED LENGTH\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct gfxb_error err;
    uint64_t seed, n;
    if (argc != 4)
        return usage();
    if (strcmp(argv[1], "prompt") == 0) {
        static uint32_t tokens[SEEDED_CONTEXT];
        if (str_to_u64(str_from(argv[2]), 10, &seed) < 0 ||
            str_to_u64(str_from(argv[3]), 10, &n) < 0 || n > SEEDED_CONTEXT)
            return usage();
        seeded_prompt(seed, n, tokens);
        for (size_t i = 0; i < n; i++)
            printf("%s%u", i ? " " : "", tokens[i]);
        printf("\n");
        return 0;
    }
    struct buf file = BUF_INIT(2 * SEEDED_FILE_MAX);
    if (str_to_u64(str_from(argv[3]), 10, &seed) < 0)
        return usage();
    if (seeded_write(str_from(argv[1]), str_from(argv[2]), seed, &file, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    fwrite(file.p, 1, file.n, stdout);
    buf_done(&file);
    return 0;
}

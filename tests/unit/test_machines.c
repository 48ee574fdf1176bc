/*
 * test_machines.c - captured machines: tests/machines/NAME.machine gives NAME.expect, each found by
 * listing the folder. GFXB_UPDATE=1 rewrites all .expect files, GFXB_UPDATE=NAME writes a missing
 * one. Review them before you commit. Each machine's capture must also read back
 * as the same machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "machine_text.h"
#include "sysroot/sysroot.h"

#include <dirent.h>
#include <stdio.h>

static struct gfx_tables *tables;
static char folder[512];

static int setup(void **state)
{
    struct gfxb_error err = {0};
    int r = gfx_tables_new(NULL, &tables, &err);
    if (r < 0)
        print_error("%s\n", err.text);
    return r;
}

static int teardown(void **state)
{
    gfx_tables_free(tables);
    return 0;
}

static void describe(const struct root *root, struct buf *text)
{
    struct machine *m = NULL;
    struct gfxb_error err = {0};
    if (machine_new(root, tables, &m, &err) < 0)
        fail_msg("%s", err.text);
    text_machine(text, m);
    machine_free(m);
    assert_true(buf_ok(text));
}

static struct root *open_root(const char *path)
{
    struct root *root = NULL;
    struct gfxb_error err = {0};
    if (root_new(path, &root, &err) < 0)
        fail_msg("%s", err.text);
    return root;
}

static void machine_is_as_expected(void **state)
{
    const char *name = *state;
    char path[800];
    struct gfxb_error err = {0};
    struct buf CLEAN_BUF text = BUF_INIT(1 << 20), expected = BUF_INIT(1 << 20);
    snprintf(path, sizeof(path), "%s/%s.machine", folder, name);
    struct root *root = open_root(path);
    describe(root, &text);
    root_free(root);
    snprintf(path, sizeof(path), "%s/%s.expect", folder, name);
    const char *update = getenv("GFXB_UPDATE");
    bool new = update &&strcmp(update, name) == 0 && access(path, F_OK) < 0;
    if (new || (update && strcmp(update, "1") == 0)) {
        assert_int_equal(fs_write(path, text.p, text.n, 0644, &err), 0);
        return;
    }
    if (fs_read(path, 1 << 20, &expected) < 0)
        fail_msg("%s cannot be read: write it with GFXB_UPDATE=1 and review it", path);
    assert_string_equal(buf_text(&text), buf_text(&expected));
}

static void capture_reads_back_the_same(void **state)
{
    char path[800];
    struct gfxb_error err = {0};
    struct buf CLEAN_BUF before = BUF_INIT(1 << 20), after = BUF_INIT(1 << 20);
    struct buf CLEAN_BUF capture = BUF_INIT(1 << 24), again = BUF_INIT(1 << 24);
    snprintf(path, sizeof(path), "%s/%s.machine", folder, (const char *)*state);
    struct root *root = open_root(path);
    struct root *copy = NULL;
    describe(root, &before);
    assert_int_equal(machine_capture(root, &capture, &err), 0);
    if (root_new_text("capture", buf_view(&capture), &copy, &err) < 0)
        fail_msg("%s", err.text);
    describe(copy, &after);
    assert_string_equal(buf_text(&after), buf_text(&before));
    /* A capture of a capture is the capture. */
    assert_int_equal(machine_capture(copy, &again, &err), 0);
    assert_string_equal(buf_text(&again), buf_text(&capture));
    root_free(copy);
    root_free(root);
}

/* Where proofs.tsv names a contribution, its computer is here, and has the card and the kernel. */
static void outcomes_have_their_computers(void **state)
{
    for (size_t i = 0; i < tables->n_proofs; i++) {
        const struct gfx_proof *proof = &tables->proof[i];
        struct str name = proof->source;
        struct gfxb_error err = {0};
        struct machine *m = NULL;
        bool here = false;
        char path[800], card[16];
        if (!str_strip(&name, STR("contribution:")))
            continue;
        snprintf(path, sizeof(path), "%s/%.*s.machine", folder, STR_ARG(name));
        struct root *root = open_root(path);
        assert_int_equal(machine_new(root, tables, &m, &err), 0);
        for (size_t k = 0; k < m->n_gpus; k++) {
            snprintf(card, sizeof(card), "%04x:%04x", m->gpu[k].vendor, (unsigned)m->gpu[k].device);
            here |= str_is(proof->card, card) && str_is(proof->kernel, m->host.kernel);
        }
        if (!here)
            fail_msg("proofs.tsv:%u: contribution:%.*s is another computer", proof->line,
                     STR_ARG(name));
        machine_free(m);
        root_free(root);
    }
}

static int is_machine(const struct dirent *entry)
{
    return str_ends(str_from(entry->d_name), STR(".machine"));
}

int main(void)
{
    const char *source = getenv("GFXB_TEST_SOURCE");
    snprintf(folder, sizeof(folder), "%s/tests/machines", source ? source : ".");
    struct dirent **entry = NULL;
    int n = scandir(folder, &entry, is_machine, alphasort);
    if (n < 50) { /* the least that there must be: an empty folder would prove nothing */
        fprintf(stderr, "%s holds %d machines\n", folder, n);
        return 1;
    }
    struct CMUnitTest *tests = calloc((size_t)n * 2 + 1, sizeof(*tests));
    if (!tests)
        return 1;
    for (int i = 0; i < n; i++) {
        char *name = entry[i]->d_name, *title = NULL;
        name[strlen(name) - strlen(".machine")] = '\0';
        if (asprintf(&title, "capture of %s", name) < 0)
            return 1;
        tests[2 * i] = (struct CMUnitTest){
            .name = name, .test_func = machine_is_as_expected, .initial_state = name};
        tests[2 * i + 1] = (struct CMUnitTest){
            .name = title, .test_func = capture_reads_back_the_same, .initial_state = name};
    }
    tests[2 * n] = (struct CMUnitTest){.name = "outcomes have their computers",
                                       .test_func = outcomes_have_their_computers};
    int failed = _cmocka_run_group_tests("machines", tests, (size_t)n * 2 + 1, setup, teardown);
    for (int i = 0; i < n; i++) {
        free((char *)tests[2 * i + 1].name);
        free(entry[i]);
    }
    free(tests);
    free(entry);
    return failed;
}

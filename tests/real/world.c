/* world.c - installs the distribution's engine, and proves it. */
#include "world.h"

#include <errno.h>

struct real_world world;
char *world_no_words[] = {NULL};
char *world_lavapipe[3] = {(char *)"GGML_VK_VISIBLE_DEVICES=0", NULL};

static void say(void *context, enum log_level level, const char *line)
{
    (void)context, (void)level;
    fprintf(stderr, "# %s\n", line);
}

static const struct log test_log = {say, NULL};

static const struct package *find_backend(const char *backend)
{
    for (size_t i = 0; i < world.list.n; i++) {
        if (strcmp(world.list.item[i].backend, backend) == 0 &&
            strcmp(world.list.item[i].provider, "debian") == 0)
            return &world.list.item[i];
    }
    return NULL;
}

static int install(const char *backend, struct gfxb_error *err)
{
    struct package_env env = {
        .data_dir = world.data, .tables = world.tables, .root = world.root, .log = &test_log};
    for (size_t i = 0; i < world.tables->n_packages; i++) {
        const struct gfx_package *row = &world.tables->package[i];
        if (row->installable && str_is(row->provider, "debian") && str_is(row->backend, backend))
            return package_install(&env, row, err);
    }
    return error_set(err, GFXB_E_NO_PACKAGE, "no such row");
}

static int set_up_paths(void)
{
    char path[] = "/tmp/gfxbridge-real-XXXXXX";
    const char *kept = getenv("GFXB_TEST_DATA");
    world.temporary = !kept;
    world.data = kept ? strdup(kept) : mkdtemp(path) ? strdup(path) : NULL;
    world.run = world.data ? fs_join(world.data, "run") : NULL;
    world.cache = world.data ? fs_join(world.data, "cache/driver") : NULL;
    return world.run && world.cache ? fs_make_dirs(world.run, 0700, NULL) : -ENOMEM;
}

static int set_up(bool cpu)
{
    struct gfxb_error err = {.text = ""};
    int code = set_up_paths();
    if (code == 0)
        code = gfx_tables_new(NULL, &world.tables, &err);
    if (code == 0)
        code = root_new(NULL, &world.root, &err);
    if (code == 0 && cpu)
        code = install("cpu", &err);
    if (code == 0)
        code = install("vulkan", &err);
    struct package_env env = {.data_dir = world.data, .tables = world.tables, .root = world.root};
    if (code == 0)
        code = package_list_new(&env, &world.list, &err);
    world.cpu = find_backend("cpu");
    world.vulkan = find_backend("vulkan");
    if (code == 0 && world.vulkan && (world.cpu || !cpu))
        return 0;
    fprintf(stderr, "# cannot install the engine: %s\n", err.text);
    return -1;
}

int world_set_up(void **state)
{
    (void)state;
    return set_up(true);
}

int world_set_up_vulkan(void **state)
{
    (void)state;
    return set_up(false);
}

int world_tear_down(void **state)
{
    (void)state;
    int code = world.temporary ? fs_remove_tree(world.data) : 0;
    package_list_done(&world.list);
    root_free(world.root);
    gfx_tables_free(world.tables);
    free(world.data);
    free(world.run);
    free(world.cache);
    return code;
}

struct engine_spec world_spec(enum plan_backend backend)
{
    return (struct engine_spec){
        .package = backend == PLAN_CPU ? world.cpu : world.vulkan,
        .runtime_dir = world.run,
        .cache_dir = world.cache,
        .backend = backend,
        .env = backend == PLAN_VULKAN_SOFTWARE ? (const char *const *)world_lavapipe : NULL,
        .log = &test_log,
    };
}

struct engine *world_start_canary(enum plan_backend backend)
{
    struct gfxb_error err = {.text = ""};
    struct engine *engine = NULL;
    char *model = NULL;
    struct engine_spec spec = world_spec(backend);
    assert_int_equal(engine_canary_path(engine_kind_of_model(NULL), world.data, NULL, &model, &err),
                     0);
    spec.model = model;
    spec.ready_ms = 240000;
    if (engine_start(&spec, &engine, &err) < 0)
        fail_msg("%s", err.text);
    free(model);
    return engine;
}

void world_prove(enum plan_backend backend, struct engine_proof *ret_proof,
                 struct engine **ret_engine)
{
    struct gfxb_error err = {.text = ""};
    struct plan_choice choice = {
        .backend = backend,
        .gpu_pci = world_no_words,
        .env = backend == PLAN_VULKAN_SOFTWARE ? world_lavapipe : world_no_words,
        .args = world_no_words,
    };
    struct engine_trial trial = {
        .spec = world_spec(backend), .choice = &choice, .data_dir = world.data};
    if (engine_prove(&trial, ret_proof, &err) < 0)
        fail_msg("%s", err.text);
    if (ret_proof->passed && ret_engine)
        *ret_engine = world_start_canary(backend);
}

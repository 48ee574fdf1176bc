/* stage.c - packages around the double, and looking at what they leave behind. */
#include "faults.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>

static char *stage_top;
static const char *stage_double, *stage_project;

const struct engine_deadlines stage_deadlines = {
    .list = 2500, .ready = 3000, .first = 2500, .gap = 2000, .whole = 8000};

const char *stage_source(void)
{
    return stage_project;
}

char *stage_join(const char *dir, const char *name)
{
    char *path = fs_join(dir, name);
    assert_non_null(path);
    return path;
}

static void stage_write(const char *dir, const char *name, struct str text)
{
    char *CLEAN_FREE path = stage_join(dir, name);
    assert_int_equal(fs_write(path, text.p, text.n, 0644, NULL), 0);
}

static void stage_make(const char *dir, const char *name)
{
    char *CLEAN_FREE path = stage_join(dir, name);
    assert_int_equal(fs_make_dirs(path, 0700, NULL), 0);
}

static void stage_make_library(const char *dir, const char *name)
{
    char page[4096] = "";
    stage_write(dir, name, (struct str){page, sizeof(page)});
}

struct stage stage_new(void)
{
    static unsigned number;
    char name[32];
    snprintf(name, sizeof(name), "stage%u", number++);
    struct stage s = {.data = stage_join(stage_top, name)};
    s.run = stage_join(s.data, "run");
    stage_make(s.data, "run");
    stage_make(s.data, "elsewhere/lib");
    char *CLEAN_FREE elsewhere = stage_join(s.data, "elsewhere/lib");
    stage_make_library(elsewhere, "libhsa-runtime64.so.1");
    return s;
}

void stage_done(struct stage *s)
{
    assert_int_equal(fs_remove_tree(s->data), 0);
    free(s->data);
    free(s->run);
}

/* A text of the fault with the card's address put in. */
static void stage_write_text(const char *dir, const char *name, const char *text, const char *card)
{
    struct buf CLEAN_BUF out = BUF_INIT(65536);
    for (const char *at; card && (at = strstr(text, PCI)); text = at + strlen(PCI))
        buf_addf(&out, "%.*s%s", (int)(at - text), text, card);
    buf_add_text(&out, text);
    stage_write(dir, name, buf_view(&out));
}

static const char *stage_well_listed(enum plan_backend backend)
{
    return backend == PLAN_ROCM              ? LIST(ROCM0)
           : backend == PLAN_VULKAN          ? LIST(VULKAN0)
           : backend == PLAN_VULKAN_SOFTWARE ? LIST(LLVMPIPE)
                                             : NONE;
}

/* A copy of a file of the project. */
static void stage_copy(const char *dir, const char *name, const char *from)
{
    struct buf CLEAN_BUF bytes = BUF_INIT(1u << 20);
    char *CLEAN_FREE path = stage_join(stage_project, from);
    assert_int_equal(fs_read(path, 1u << 20, &bytes), 0);
    stage_write(dir, name, buf_view(&bytes));
}

/* The double does what the files in its working directory say. */
static void stage_write_behaviour(const char *dir, const char *elsewhere, enum plan_backend backend,
                                  const struct fault *f)
{
    static const struct fault well = {.name = "well"};
    struct buf CLEAN_BUF behaviour = BUF_INIT(65536);
    const char *card = f ? f->card : NULL;
    f = f && f->backend == backend ? f : &well;
    if (f->behaviour)
        buf_add_text(&behaviour, f->behaviour);
    else if (backend == PLAN_ROCM)
        buf_add_text(&behaviour, OWN_HIP);
    buf_addf(&behaviour,
             "answers answers\nseeded seeded\ndevices devices\nsaid said\nlog log\nelsewhere %s\n",
             elsewhere);
    stage_write(dir, "behaviour", buf_view(&behaviour));
    stage_write_text(dir, "devices", f->devices ? f->devices : stage_well_listed(backend), NULL);
    stage_write_text(dir, "said", f->said ? f->said : "", NULL);
    stage_write_text(dir, "log", f->log ? f->log : backend == PLAN_CPU ? CPU_LOG : GOOD_LOG, card);
    stage_copy(dir, "answers", "data/canary.tsv");
    stage_copy(dir, "seeded", "data/seeded.tsv");
}

void stage_behave(const struct stage *s, const char *dir, enum plan_backend backend,
                  const struct fault *fault)
{
    char *CLEAN_FREE elsewhere = stage_join(s->data, "elsewhere/lib");
    stage_write_behaviour(dir, elsewhere, backend, fault);
}

char *stage_install(const struct stage *s, const char *id, enum plan_backend backend,
                    const struct fault *fault)
{
    static unsigned number;
    char digest[65];
    struct buf CLEAN_BUF manifest = BUF_INIT(65536);
    const char *family = backend == PLAN_VULKAN_SOFTWARE ? "vulkan" : plan_backend_name(backend);
    snprintf(digest, sizeof(digest), "%064x", ++number);
    char *CLEAN_FREE packages = stage_join(s->data, "packages");
    char *CLEAN_FREE elsewhere = stage_join(s->data, "elsewhere/lib");
    char *dir = stage_join(packages, digest);
    assert_int_equal(fs_make_dirs(dir, 0700, NULL), 0);
    stage_make(dir, "lib");
    stage_make_library(dir, "lib/libamdhip64.so.7");
    stage_make_library(dir, "lib/librocblas.so.5");
    stage_behave(s, dir, backend, fault);
    buf_addf(&manifest,
             "gfxbridge-package 1\nid %s\nprovider %s\nbackend %s\ndigest %s\nversion 1\n"
             "executable %s\nlibrary-path %s\nbackend-dir .\nbytes 1\ninstalled %u\n",
             id, strncmp(id, "debian", 6) == 0 ? "debian" : "github", family, digest, stage_double,
             elsewhere, number);
    const char *gfx = fault && fault->gfx ? fault->gfx : "gfx1100";
    if (backend == PLAN_ROCM)
        buf_addf(&manifest, "gfx %s\nblas %s\n", gfx, gfx);
    stage_write(dir, "package.manifest", buf_view(&manifest));
    return dir;
}

struct package stage_package(const char *dir)
{
    return (struct package){
        .dir = (char *)(uintptr_t)dir,
        .id = (char *)"double",
        .executable = (char *)(uintptr_t)stage_double,
        .backend_dir = (char *)".",
    };
}

size_t stage_count_in(const char *path, const char *part)
{
    size_t n = 0;
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        n += strstr(entry->d_name, part) != NULL;
    if (dir)
        closedir(dir);
    return n;
}

size_t stage_count_engines(const struct stage *s)
{
    size_t n = 0;
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char path[300];
        struct buf CLEAN_BUF line = BUF_INIT(1u << 18);
        snprintf(path, sizeof(path), "/proc/%.20s/cmdline", entry->d_name);
        if (strspn(entry->d_name, "0123456789") == strlen(entry->d_name) &&
            fs_read(path, 1u << 16, &line) == 0)
            n += str_has(buf_view(&line), str_from(s->run));
    }
    if (dir)
        closedir(dir);
    return n;
}

bool stage_is_gone(pid_t pid)
{
    for (int i = 0; i < 400; i++) {
        char path[64];
        struct buf CLEAN_BUF stat = BUF_INIT(1u << 18);
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        if (fs_read(path, 4096, &stat) < 0 || str_has(buf_view(&stat), STR(") Z ")))
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

int stage_start(const struct stage *s, const struct fault *fault, bool unconfined,
                const atomic_int *cancel, struct engine **ret_engine, struct gfxb_error *err)
{
    char *CLEAN_FREE dir = stage_install(s, "debian-cpu", PLAN_CPU, fault);
    struct package package = stage_package(dir);
    struct engine_spec spec = {
        .package = &package,
        .model = "/dev/null",
        .runtime_dir = s->run,
        .backend = PLAN_CPU,
        .threads = 1,
        .ready_ms = 10000,
        .cancel = cancel,
        .unconfined = unconfined,
    };
    return engine_start(&spec, ret_engine, err);
}

int stage_set_up(void **state)
{
    char path[] = "/tmp/gfxbridge-faults-XXXXXX";
    (void)state;
    stage_double = getenv("GFXB_TEST_FAKE_ENGINE");
    stage_project = getenv("GFXB_TEST_SOURCE");
    stage_top = mkdtemp(path) ? strdup(path) : NULL;
    return stage_double && stage_project && stage_top ? 0 : -1;
}

int stage_tear_down(void **state)
{
    (void)state;
    int code = fs_remove_tree(stage_top);
    free(stage_top);
    return code;
}

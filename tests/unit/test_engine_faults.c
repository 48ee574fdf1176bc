/*
 * test_engine_faults.c - every way in which an engine fails ends in bounded time, with the right
 * code, a sentence that says why, nothing left running and nothing left on disk; and no fault is
 * taken for a GPU that works. The engine is tests/fake_engine.c.
 */
#include "engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#define PCI       "0000:03:00.0"
#define OTHER_PCI "0000:0d:00.0"

#define LIST(...) "Available devices:\n" __VA_ARGS__
#define ROCM0     "  ROCm0: AMD Radeon RX 7900 XTX (24560 MiB, 24510 MiB free)\n"
#define ROCM1     "  ROCm1: AMD Radeon Graphics (512 MiB, 400 MiB free)\n"
#define VULKAN0   "  Vulkan0: AMD Radeon RX 7900 XTX (RADV NAVI31) (24560 MiB, 24510 MiB free)\n"
#define VULKAN1   "  Vulkan1: AMD Radeon 780M (RADV PHOENIX) (24560 MiB, 24510 MiB free)\n"
#define LLVMPIPE  "  Vulkan0: llvmpipe (LLVM 15.0.6, 256 bits) (2048 MiB, 2048 MiB free)\n"
#define NONE      LIST("  (none)\n")

#define LOAD "0.00.1.1 I llama_model_loader: loaded meta data with 20 key-value pairs\n"
#define USING(device, pci)                                                                         \
    "0.00.1.2 I llama_prepare_model_devices: using device " device                                 \
    " (AMD Radeon RX 7900 XTX) (" pci ") - 24510 MiB free\n"
#define WEIGHTS(device, mib)                                                                       \
    "0.00.1.3 I load_tensors:      " device " model buffer size =     " mib " MiB\n"
#define OFFLOADED "0.00.1.4 I load_tensors: offloaded 5/5 layers to GPU\n"
#define LOADED    "0.00.1.5 I srv  llama_server: model loaded\n"
#define GOOD_LOG                                                                                   \
    LOAD USING("%D", PCI) WEIGHTS("CPU_Mapped", "0.20") WEIGHTS("%D", "1.50") OFFLOADED LOADED
#define CPU_LOG LOAD WEIGHTS("CPU_Mapped", "1.70") OFFLOADED LOADED

#define SET_LOG LOAD USING("%D", "0000:0%N:00.0") WEIGHTS("%D", "0.75") LOADED

#define OWN_HIP "map lib/libamdhip64.so.7\nmap lib/librocblas.so.5\n"

struct fault {
    const char *name; /* what goes wrong; the row of the list of failure modes in brackets */
    enum plan_backend backend;
    const char *behaviour; /* see fake_engine.c; NULL: well */
    const char *devices;   /* NULL: the wanted card alone */
    const char *said;      /* NULL: nothing */
    const char *log;       /* NULL: all is well */
    const char *pci[3];    /* wanted; {NULL}: PCI */
    double floor;
    int code;          /* expected; 0: proven */
    const char *tells; /* what the sentence must hold; of a proof the device */
};

static const struct fault faults[] = {
    {"nothing goes wrong with ROCm", PLAN_ROCM, NULL, NULL, NULL, NULL, {NULL}, 0, 0, "ROCm0"},
    {"nothing goes wrong with Vulkan",
     PLAN_VULKAN,
     NULL,
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     0,
     "Vulkan0"},
    {"nothing goes wrong with lavapipe",
     PLAN_VULKAN_SOFTWARE,
     NULL,
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     0,
     "Vulkan0"},
    {"nothing goes wrong with the CPU", PLAN_CPU, NULL, NULL, NULL, CPU_LOG, {NULL}, 0, 0, "none"},
    {"[1] the weights are on the CPU although ROCm0 is listed",
     PLAN_ROCM,
     NULL,
     NULL,
     NULL,
     CPU_LOG,
     {NULL},
     0,
     GFXB_E_NOT_ON_DEVICE,
     "on the CPU"},
    {"[1] only a crumb of the weights is on the GPU",
     PLAN_ROCM,
     NULL,
     NULL,
     NULL,
     LOAD USING("%D", PCI) WEIGHTS("CPU_Mapped", "1.50") WEIGHTS("%D", "0.20") LOADED,
     {NULL},
     0,
     GFXB_E_NOT_ON_DEVICE,
     "the CPU does most of the work"},
    {"[1] the log does not tell where the weights are",
     PLAN_VULKAN,
     NULL,
     NULL,
     NULL,
     LOAD OFFLOADED LOADED,
     {NULL},
     0,
     GFXB_E_NOT_ON_DEVICE,
     "on the CPU"},
    {"[1] the CPU was asked for and a GPU is used",
     PLAN_CPU,
     NULL,
     NULL,
     NULL,
     LOAD WEIGHTS("ROCm0", "1.50") LOADED,
     {NULL},
     0,
     GFXB_E_NOT_ON_DEVICE,
     "on a GPU"},
    {"[2] the HIP plugin did not load and nobody says so",
     PLAN_ROCM,
     NULL,
     NONE,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_DEVICE_NOT_LISTED,
     "does not say why"},
    {"[2] only the other backend's device is listed",
     PLAN_ROCM,
     NULL,
     LIST(VULKAN0),
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_DEVICE_NOT_LISTED,
     "no rocm device"},
    {"[3] the device that was asked for is refused",
     PLAN_VULKAN,
     "start exit\n",
     NULL,
     "error while handling argument \"--device\": invalid device: Vulkan0\n",
     NULL,
     {NULL},
     0,
     GFXB_E_DEVICE_NOT_LISTED,
     "not there under this name"},
    {"[4] the processor's own GPU aborts, the wanted one works",
     PLAN_VULKAN,
     "start abort\nonly Vulkan0\n",
     LIST(VULKAN0 VULKAN1),
     NULL,
     NULL,
     {NULL},
     0,
     0,
     "Vulkan1"},
    {"[4] every listed GPU aborts",
     PLAN_VULKAN,
     "start abort\n",
     LIST(VULKAN0 VULKAN1),
     "ROCm error: device kernel image is invalid\n",
     NULL,
     {NULL},
     0,
     GFXB_E_GFX_NOT_IN_PACKAGE,
     "second GPU"},
    {"[12] the weights are on another card",
     PLAN_ROCM,
     NULL,
     NULL,
     NULL,
     LOAD USING("%D", OTHER_PCI) WEIGHTS("%D", "1.50") LOADED,
     {NULL},
     0,
     GFXB_E_NOT_ON_DEVICE,
     OTHER_PCI},
    {"[12] another device than the one asked for is used",
     PLAN_VULKAN,
     NULL,
     NULL,
     NULL,
     LOAD USING("Vulkan7", PCI) WEIGHTS("Vulkan7", "1.50") LOADED,
     {NULL},
     0,
     GFXB_E_NOT_ON_DEVICE,
     "Vulkan7"},
    {"[12] two cards, and the driver tells no address",
     PLAN_VULKAN,
     NULL,
     LIST(VULKAN0 VULKAN1),
     NULL,
     LOAD USING("%D", "unknown id") WEIGHTS("%D", "1.50") LOADED,
     {NULL},
     0,
     GFXB_E_NOT_ON_DEVICE,
     "does not tell which"},
    {"[12] one card, and the driver tells no address",
     PLAN_VULKAN,
     NULL,
     NULL,
     NULL,
     LOAD USING("%D", "unknown id") WEIGHTS("%D", "1.50") LOADED,
     {NULL},
     0,
     0,
     "Vulkan0"},
    {"[14] abort inside BLAS",
     PLAN_ROCM,
     "start abort\n",
     NULL,
     "rocBLAS error: Cannot read /l/TensileLibrary.dat: No such file or directory for GPU arch : "
     "gfx1036\n",
     NULL,
     {NULL},
     0,
     GFXB_E_BLAS_KERNELS_MISSING,
     "rocBLAS"},
    {"[16] no kernel image",
     PLAN_ROCM,
     OWN_HIP "then abort\nat 0\n",
     NULL,
     "ROCm error: no kernel image is available for execution on the device\n",
     NULL,
     {NULL},
     0,
     GFXB_E_GFX_NOT_IN_PACKAGE,
     "no code for this GPU"},
    {"[21] the C library is too old",
     PLAN_CPU,
     "start exit\n",
     NULL,
     "llama-server: /lib/libc.so.6: version `GLIBC_2.38' not found\n",
     NULL,
     {NULL},
     0,
     GFXB_E_GLIBC_TOO_OLD,
     "newer C library"},
    {"[20] a library is missing",
     PLAN_CPU,
     "start exit\n",
     NULL,
     "error while loading shared libraries: libgomp.so.1: cannot open shared object file\n",
     NULL,
     {NULL},
     0,
     GFXB_E_LIBRARY_MISSING,
     "libgomp1"},
    {"[22] libraries of two releases",
     PLAN_ROCM,
     "list exit\n",
     NULL,
     "llama-server: symbol lookup error: libggml-hip.so: undefined symbol: hipGetProcAddress\n",
     NULL,
     {NULL},
     0,
     GFXB_E_LIBRARY_MISSING,
     "mixed"},
    {"[22] the engine ends over an undefined symbol",
     PLAN_ROCM,
     "start exit\n",
     NULL,
     "llama-server: symbol lookup error: libggml-hip.so: undefined symbol: hipGetProcAddress\n",
     NULL,
     {NULL},
     0,
     GFXB_E_LIBRARY_MISSING,
     "mixed"},
    {"[22] ROCm libraries from two trees",
     PLAN_ROCM,
     "map lib/libamdhip64.so.7\nmap ../elsewhere/lib/libhsa-runtime64.so.1\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_LIBRARY_MISSING,
     "two installations"},
    {"[23] no ROCm library is mapped at all",
     PLAN_ROCM,
     "rate 5000\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_NOT_ON_DEVICE,
     "any ROCm library"},
    {"[24] /dev/kfd may not be opened",
     PLAN_ROCM,
     NULL,
     NONE,
     "Unable to open /dev/kfd read-write: Permission denied\n",
     NULL,
     {NULL},
     0,
     GFXB_E_KFD_PERMISSION,
     "join the group"},
    {"[28] there is no KFD",
     PLAN_ROCM,
     NULL,
     NONE,
     "E ggml_cuda_init: failed to initialize ROCm: no ROCm-capable device is detected\n",
     NULL,
     {NULL},
     0,
     GFXB_E_DEVICE_NOT_LISTED,
     "no AMD driver with /dev/kfd"},
    {"[33] hang at the start",
     PLAN_ROCM,
     "start hang\n",
     NULL,
     "loading the kernels\n",
     NULL,
     {NULL},
     0,
     GFXB_E_ENGINE_HANG,
     "loading the kernels"},
    {"[34] hang at the first token",
     PLAN_ROCM,
     OWN_HIP "then hang\nat 0\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_ENGINE_HANG,
     "no first token"},
    {"[34] hang in the middle of an answer",
     PLAN_ROCM,
     OWN_HIP "then hang\nat 12\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_ENGINE_HANG,
     "in the middle of an answer"},
    {"[34] an answer that crawls",
     PLAN_VULKAN,
     "pause 900\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_ENGINE_HANG,
     "given up after"},
    {"[35] the device list hangs",
     PLAN_ROCM,
     "list hang\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_ENGINE_HANG,
     "did not list its devices"},
    {"[36] the device list crashes",
     PLAN_ROCM,
     "list abort\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_ENGINE_CRASH,
     "while listing its devices (signal 6"},
    {"[36] the device list fails",
     PLAN_ROCM,
     "list exit\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_ENGINE_EXIT,
     "exit code 1"},
    {"[37] garbage",
     PLAN_VULKAN,
     "say garbage\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_CANARY_MISMATCH,
     "computes wrongly"},
    {"[37] one wrong byte",
     PLAN_ROCM,
     OWN_HIP "say byte\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_CANARY_MISMATCH,
     "computes wrongly"},
    {"[37] babble without end",
     PLAN_VULKAN,
     "say babble\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_CANARY_MISMATCH,
     "does not end"},
    {"[37] silence",
     PLAN_VULKAN,
     "say silent\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_CANARY_MISMATCH,
     "from byte 0 on ''"},
    {"[37] right words by luck",
     PLAN_VULKAN,
     "say doubt\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_CANARY_MISMATCH,
     "probability of 0.15"},
    {"[37] a compute error as an HTTP status",
     PLAN_VULKAN,
     "say status\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_CANARY_MISMATCH,
     "Compute error."},
    {"[37] a compute error in the stream",
     PLAN_VULKAN,
     "say error\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_CANARY_MISMATCH,
     "Invalid input batch."},
    {"[37] a stream of no JSON",
     PLAN_VULKAN,
     "say garbled\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_CANARY_MISMATCH,
     "not what a llama-server sends"},
    {"[37] an answer of no HTTP",
     PLAN_VULKAN,
     "say nonsense\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_CANARY_MISMATCH,
     "not what a llama-server sends"},
    {"[37] the connection is closed in the middle",
     PLAN_VULKAN,
     "then close\nat 3\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_CANARY_MISMATCH,
     "closed the connection in the middle"},
    {"[38] GPU memory fault while answering",
     PLAN_ROCM,
     OWN_HIP "then abort\nat 5\n",
     NULL,
     "Memory access fault by GPU node-1 (Agent handle: 0x1) on address 0x2. Reason: Page not "
     "present\n",
     NULL,
     {NULL},
     0,
     GFXB_E_ENGINE_CRASH,
     "not its own"},
    {"[38] a set of two cards, each proven alone first",
     PLAN_ROCM,
     NULL,
     LIST(ROCM0 ROCM1),
     NULL,
     SET_LOG,
     {"0000:00:00.0", "0000:01:00.0", NULL},
     0,
     0,
     "ROCm0,ROCm1"},
    {"[38] a set of two cards of which one gets no weights",
     PLAN_ROCM,
     NULL,
     LIST(ROCM0 ROCM1),
     NULL,
     LOAD USING("%D", "0000:0%N:00.0") WEIGHTS("ROCm0", "1.50") LOADED,
     {"0000:00:00.0", "0000:01:00.0", NULL},
     0,
     GFXB_E_NOT_ON_DEVICE,
     "ROCm0"},
    {"[38] one of two cards cannot start",
     PLAN_ROCM,
     OWN_HIP "start abort\nonly ROCm1\n",
     LIST(ROCM0 ROCM1),
     NULL,
     NULL,
     {PCI, OTHER_PCI, NULL},
     0,
     GFXB_E_ENGINE_CRASH,
     "only 1 of 2 GPUs"},
    {"[43] loading never ends",
     PLAN_ROCM,
     "start unready\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_ENGINE_HANG,
     "not ready after"},
    {"[43] it takes connections and says nothing",
     PLAN_ROCM,
     "start mute\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_ENGINE_HANG,
     "not ready after"},
    {"[45] killed for lack of memory while loading",
     PLAN_CPU,
     "start kill\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_MEMORY_TOO_SMALL,
     "out-of-memory killer"},
    {"[46] the GPU's memory is too small",
     PLAN_ROCM,
     "start exit\n",
     NULL,
     "allocating 27846.97 MiB on device 0: cudaMalloc failed: out of memory\n",
     NULL,
     {NULL},
     0,
     GFXB_E_MEMORY_TOO_SMALL,
     "smaller model"},
    {"[48] the log grows without end",
     PLAN_CPU,
     "start flood\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_ENGINE_HANG,
     "dull log"},
    {"[62] only llvmpipe where a GPU was meant",
     PLAN_VULKAN,
     NULL,
     LIST(LLVMPIPE),
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_VULKAN_SOFTWARE_ONLY,
     "computes on the CPU"},
    {"[62] no Vulkan driver",
     PLAN_VULKAN,
     NULL,
     NONE,
     "ggml_vulkan: No devices found.\n",
     NULL,
     {NULL},
     0,
     GFXB_E_VULKAN_DRIVER_MISSING,
     "mesa-vulkan-drivers"},
    {"[62] no Vulkan driver, and nobody says so",
     PLAN_VULKAN,
     NULL,
     NONE,
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_VULKAN_DRIVER_MISSING,
     "mesa-vulkan-drivers"},
    {"[62] a GPU where lavapipe was meant",
     PLAN_VULKAN_SOFTWARE,
     NULL,
     LIST(VULKAN0),
     NULL,
     NULL,
     {NULL},
     0,
     GFXB_E_DEVICE_NOT_LISTED,
     "none of them is a software one"},
    {"[63] one buffer is too large for this driver",
     PLAN_VULKAN,
     "start exit\n",
     NULL,
     "ggml_vulkan: Device memory allocation of size 4294967296 failed.\n",
     NULL,
     {NULL},
     0,
     GFXB_E_MEMORY_TOO_SMALL,
     "this much memory at once"},
    {"[42] the driver resets the card while answering",
     PLAN_VULKAN,
     "then abort\nat 2\n",
     NULL,
     "terminate called after throwing an instance of 'vk::DeviceLostError'\n",
     NULL,
     {NULL},
     0,
     GFXB_E_ENGINE_CRASH,
     "reset the GPU"},
    {"[65] far slower than the CPU",
     PLAN_VULKAN,
     "rate 21\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     100.0,
     GFXB_E_TOO_SLOW,
     "22 tokens/s"},
    {"[66] slower than the CPU, but not absurdly",
     PLAN_VULKAN,
     "rate 150\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     100.0,
     0,
     "Vulkan0"},
    {"[62] lavapipe is never too slow",
     PLAN_VULKAN_SOFTWARE,
     "rate 2\n",
     NULL,
     NULL,
     NULL,
     {NULL},
     100.0,
     0,
     "Vulkan0"},
};

#define FAULTS (sizeof(faults) / sizeof(faults[0]))

/* ---- a package around the double ---- */

static char *top;
static const char *fake, *source;

struct stage {
    char *dir, *run, *data;
    struct package package;
};

static char *joined(const char *dir, const char *name)
{
    char *path = fs_join(dir, name);
    assert_non_null(path);
    return path;
}

static void write_text(const char *dir, const char *name, const char *text)
{
    char *CLEAN_FREE path = joined(dir, name);
    assert_int_equal(fs_write(path, text, strlen(text), 0644, NULL), 0);
}

static void make_library(const char *dir, const char *name)
{
    char page[4096] = "";
    char *CLEAN_FREE path = joined(dir, name);
    assert_int_equal(fs_write(path, page, sizeof(page), 0644, NULL), 0);
}

static void make_dirs(const char *dir, const char *name)
{
    char *CLEAN_FREE path = joined(dir, name);
    assert_int_equal(fs_make_dirs(path, 0700, NULL), 0);
}

static struct stage stage_new(const struct fault *f)
{
    static unsigned number;
    char name[32];
    snprintf(name, sizeof(name), "stage%u", number++);
    struct stage s = {.dir = joined(top, name)};
    s.run = joined(s.dir, "run");
    s.data = joined(top, "data"); /* the canary model is written once */
    make_dirs(s.dir, "run");
    make_dirs(s.dir, "lib");
    make_dirs(s.dir, "../elsewhere/lib");
    make_library(s.dir, "lib/libamdhip64.so.7");
    make_library(s.dir, "lib/librocblas.so.5");
    make_library(s.dir, "../elsewhere/lib/libhsa-runtime64.so.1");
    struct buf CLEAN_BUF behaviour = BUF_INIT(65536);
    buf_addf(&behaviour, "%s\nanswers %s/data/canary.tsv\ndevices devices\nsaid said\nlog log\n",
             f->behaviour              ? f->behaviour
             : f->backend == PLAN_ROCM ? OWN_HIP
                                       : "rate 5000",
             source);
    write_text(s.dir, "behaviour", buf_text(&behaviour));
    write_text(s.dir, "devices",
               f->devices                           ? f->devices
               : f->backend == PLAN_ROCM            ? LIST(ROCM0)
               : f->backend == PLAN_VULKAN          ? LIST(VULKAN0)
               : f->backend == PLAN_VULKAN_SOFTWARE ? LIST(LLVMPIPE)
                                                    : NONE);
    write_text(s.dir, "said", f->said ? f->said : "");
    write_text(s.dir, "log", f->log ? f->log : GOOD_LOG);
    s.package = (struct package){
        .dir = s.dir,
        .id = (char *)"double",
        .executable = (char *)fake,
        .backend_dir = (char *)".",
    };
    return s;
}

static void stage_done(struct stage *s)
{
    free(s->dir);
    free(s->run);
    free(s->data);
}

static size_t count_in(const char *path, const char *part)
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

/* Processes whose command line names the run directory. */
static size_t count_engines(const struct stage *s)
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

static struct engine_trial trial_of(const struct stage *s, const struct plan_choice *choice,
                                    const struct fault *f)
{
    return (struct engine_trial){
        .spec = {.package = &s->package, .runtime_dir = s->run, .threads = 1},
        .choice = choice,
        .data_dir = s->data,
        .floor = f->floor,
        .deadlines = {.list = 2500, .ready = 3000, .first = 2500, .gap = 2000, .whole = 8000},
    };
}

static struct plan_choice choice_of(const struct fault *f, char *pci[3])
{
    static char *none[] = {NULL};
    static char wanted[] = PCI;
    bool card = f->backend == PLAN_ROCM || f->backend == PLAN_VULKAN;
    pci[0] = f->pci[0] ? (char *)f->pci[0] : card ? wanted : NULL;
    pci[1] = f->pci[0] ? (char *)f->pci[1] : NULL;
    pci[2] = NULL;
    return (struct plan_choice){.backend = f->backend, .gpu_pci = pci, .env = none, .args = none};
}

static const struct engine_rung *first_failed(const struct engine_proof *proof)
{
    for (size_t i = 0; i < ENGINE_RUNGS; i++) {
        if (proof->rung[i].ok == TRI_NO)
            return &proof->rung[i];
    }
    return NULL;
}

static void check_outcome(const struct fault *f, const struct engine_proof *proof)
{
    const char *tells = proof->passed ? proof->device : proof->sentence;
    if (proof->code != f->code || !strstr(tells, f->tells))
        fail_msg("%s: %s, %s (%s)", f->name, gfxb_code_name(proof->code), tells, proof->shown);
    assert_int_equal(proof->passed, f->code == 0);
    assert_int_equal(first_failed(proof) == NULL, f->code == 0);
    if (f->code == 0)
        assert_true(proof->tokens_per_second > 0.0 && proof->rung[1].ok == TRI_YES);
    else /* the evidence of the failed rung is in words */
        assert_true(strlen(first_failed(proof)->detail) > 10);
}

static void run_fault(const struct fault *f)
{
    char *pci[3];
    struct stage s = stage_new(f);
    struct plan_choice choice = choice_of(f, pci);
    struct engine_trial trial = trial_of(&s, &choice, f);
    struct engine_proof proof;
    struct gfxb_error err = {.text = ""};
    struct engine *engine = NULL;
    size_t descriptors = count_in("/proc/self/fd", "");
    if (engine_prove(&trial, &proof, &engine, &err) < 0)
        fail_msg("%s: %s", f->name, err.text);
    check_outcome(f, &proof);
    assert_int_equal(engine != NULL, proof.passed);
    assert_int_equal(count_engines(&s), proof.passed ? 1 : 0);
    engine_stop(engine);
    assert_int_equal(count_engines(&s), 0);
    assert_int_equal(count_in(s.run, "engine-"), 0);
    assert_int_equal(count_in("/proc/self/fd", ""), descriptors);
    engine_proof_done(&proof);
    stage_done(&s);
}

static void a_fault_ends_with_its_cause(void **state)
{
    run_fault(*state);
}

/* ---- what is about the life of an engine, not about a proof ---- */

static const struct fault well = {"well", PLAN_CPU, NULL, NULL, NULL, CPU_LOG, {NULL}, 0, 0, ""};

static int start(const struct stage *s, const volatile sig_atomic_t *cancel,
                 struct engine **ret_engine, struct gfxb_error *err)
{
    struct engine_spec spec = {
        .package = &s->package,
        .model = "/dev/null",
        .runtime_dir = s->run,
        .backend = PLAN_CPU,
        .threads = 1,
        .ready_ms = 10000,
        .cancel = cancel,
    };
    return engine_start(&spec, ret_engine, err);
}

static struct engine *start_well(const struct stage *s)
{
    struct engine *engine = NULL;
    struct gfxb_error err = {.text = ""};
    if (start(s, NULL, &engine, &err) < 0)
        fail_msg("%s", err.text);
    return engine;
}

static bool is_gone(pid_t pid)
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

static void a_stubborn_engine_is_ended_by_force(void **state)
{
    (void)state;
    struct fault f = well;
    f.behaviour = "stop stubborn\n";
    struct stage s = stage_new(&f);
    struct engine *engine = start_well(&s);
    pid_t pid = engine_pid(engine);
    engine_stop(engine);
    assert_true(is_gone(pid));
    stage_done(&s);
}

static void what_an_engine_started_ends_with_it(void **state)
{
    (void)state;
    struct fault f = well;
    f.behaviour = "orphan orphan.pid\n";
    struct stage s = stage_new(&f);
    struct engine *engine = start_well(&s);
    char *CLEAN_FREE path = joined(s.dir, "orphan.pid");
    struct buf CLEAN_BUF pid_text = BUF_INIT(1u << 18);
    uint64_t pid = 0;
    assert_int_equal(fs_read(path, 64, &pid_text), 0);
    assert_int_equal(str_to_u64(str_trim(buf_view(&pid_text)), 10, &pid), 0);
    assert_int_equal(kill((pid_t)pid, 0), 0);
    engine_stop(engine);
    assert_true(is_gone((pid_t)pid));
    stage_done(&s);
}

static void an_engine_ends_with_its_killed_parent(void **state)
{
    (void)state;
    struct stage s = stage_new(&well);
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t parent = fork();
    if (parent == 0) {
        struct engine *engine = NULL;
        if (start(&s, NULL, &engine, NULL) < 0)
            _exit(1);
        pid_t pid = engine_pid(engine);
        if (write(told[1], &pid, sizeof(pid)) != sizeof(pid))
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    pid_t pid = -1;
    int status = 0;
    assert_int_equal(read(told[0], &pid, sizeof(pid)), sizeof(pid));
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_true(WIFSIGNALED(status));
    assert_true(is_gone(pid));
    close(told[0]);
    close(told[1]);
    /* And the next start clears its run directory away. */
    assert_int_equal(count_in(s.run, "engine-"), 1);
    struct engine *engine = start_well(&s);
    assert_int_equal(count_in(s.run, "engine-"), 1);
    engine_stop(engine);
    assert_int_equal(count_in(s.run, "engine-"), 0);
    stage_done(&s);
}

static void an_engine_that_dies_is_noticed_with_its_cause(void **state)
{
    (void)state;
    struct fault f = well;
    f.said = "HW Exception by GPU node-1 (Agent handle: 0x6) reason :GPU Hang\n";
    struct stage s = stage_new(&f);
    struct engine *engine = start_well(&s);
    struct engine_chat chat = {.prompt = "x"};
    struct engine_reply reply;
    struct gfxb_error err;
    assert_int_equal(engine_check(engine, NULL), 0);
    kill(engine_pid(engine), SIGABRT);
    assert_true(is_gone(engine_pid(engine)));
    assert_int_equal(engine_check(engine, &err), -GFXB_E_ENGINE_CRASH);
    assert_non_null(strstr(err.text, "the GPU hung"));
    assert_int_equal(engine_chat(engine, &chat, &reply, &err), -GFXB_E_ENGINE_CRASH);
    assert_int_equal(engine_pid(engine), -1);
    engine_stop(engine);
    stage_done(&s);
}

static void a_log_that_grows_is_cut_and_its_evidence_kept(void **state)
{
    (void)state;
    struct stage s = stage_new(&well);
    struct engine *engine = start_well(&s);
    struct engine_places places;
    struct stat st;
    char line[4096];
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    int log = open(engine_log(engine), O_WRONLY | O_APPEND);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(write(log, line, sizeof(line)), sizeof(line));
    close(log);
    assert_int_equal(engine_check(engine, NULL), 0);
    assert_int_equal(stat(engine_log(engine), &st), 0);
    assert_true(st.st_size > 0 && st.st_size < 100000);
    assert_int_equal(engine_verify(engine, &places, NULL), 0);
    assert_true(places.cpu_mib > 1.6);
    engine_stop(engine);
    stage_done(&s);
}

static volatile sig_atomic_t cancelled;

static void cancel_soon(int number)
{
    (void)number;
    cancelled = 1;
}

static void alarm_in(long ms)
{
    struct itimerval when = {.it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
    cancelled = 0;
    signal(SIGALRM, cancel_soon);
    assert_int_equal(setitimer(ITIMER_REAL, &when, NULL), 0);
}

static void an_interrupted_start_leaves_nothing(void **state)
{
    (void)state;
    struct fault f = well;
    struct engine *engine = NULL;
    struct gfxb_error err;
    f.behaviour = "start hang\n";
    struct stage s = stage_new(&f);
    alarm_in(200);
    assert_int_equal(start(&s, &cancelled, &engine, &err), -GFXB_E_INTERRUPTED);
    assert_null(engine);
    assert_int_equal(count_engines(&s), 0);
    assert_int_equal(count_in(s.run, "engine-"), 0);
    stage_done(&s);
}

static void an_interrupted_answer_ends_at_once(void **state)
{
    (void)state;
    struct fault f = well;
    f.behaviour = "then hang\nat 2\n";
    struct stage s = stage_new(&f);
    struct engine *engine = start_well(&s);
    struct engine_chat chat = {.prompt = "What is proof?", .cancel = &cancelled};
    struct engine_reply reply;
    struct gfxb_error err;
    alarm_in(200);
    assert_int_equal(engine_chat(engine, &chat, &reply, &err), -GFXB_E_INTERRUPTED);
    engine_stop(engine);
    stage_done(&s);
}

static void an_interrupted_proof_is_no_outcome(void **state)
{
    (void)state;
    char *pci[3];
    struct fault f = {"", PLAN_ROCM, "start hang\n", NULL, NULL, NULL, {NULL}, 0, 0, ""};
    struct stage s = stage_new(&f);
    struct plan_choice choice = choice_of(&f, pci);
    struct engine_trial trial = trial_of(&s, &choice, &f);
    struct engine_proof proof;
    struct gfxb_error err;
    trial.spec.cancel = &cancelled;
    alarm_in(400);
    assert_int_equal(engine_prove(&trial, &proof, NULL, &err), -GFXB_E_INTERRUPTED);
    assert_int_equal(count_engines(&s), 0);
    stage_done(&s);
}

struct pieces {
    struct buf text;
    size_t n;
};

static int take_piece(void *context, struct str piece, bool thinking)
{
    struct pieces *p = context;
    assert_false(thinking);
    buf_add_str(&p->text, piece);
    p->n++;
    return 0;
}

/* Where a signal came while writing, its handler has set the flag. */
struct stopper {
    int says;
    sig_atomic_t cancelled;
};

static int stop_there(void *context, struct str piece, bool thinking)
{
    const struct stopper *stopper = context;
    (void)piece, (void)thinking;
    cancelled = stopper->cancelled;
    return stopper->says;
}

static void an_answer_comes_in_pieces_that_make_the_whole(void **state)
{
    (void)state;
    struct stage s = stage_new(&well);
    struct engine *engine = start_well(&s);
    struct pieces pieces = {.text = BUF_INIT(1u << 20)};
    struct engine_chat chat = {
        .messages = "[{\"role\":\"user\",\"content\":\"What is proof?\"}]",
        .on_text = take_piece,
        .context = &pieces,
        .probabilities = true,
    };
    struct engine_reply reply;
    struct gfxb_error err = {.text = ""};
    if (engine_chat(engine, &chat, &reply, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(reply.text, buf_text(&pieces.text));
    assert_true(pieces.n > 5 && str_starts(str_from(reply.text), STR("A choice is proven when")));
    assert_int_equal(reply.tokens, 40);
    assert_true(reply.tokens_per_second > 5000.0 && reply.least_probability > 0.99);
    assert_false(reply.cut);
    engine_reply_done(&reply);
    chat.messages = "{}";
    assert_int_equal(engine_chat(engine, &chat, &reply, &err), -EINVAL);
    chat.prompt = "\xff\xfe";
    assert_int_equal(engine_chat(engine, &chat, &reply, &err), -EINVAL);
    buf_done(&pieces.text);
    engine_stop(engine);
    stage_done(&s);
}

static void an_answer_that_nobody_takes_stops_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        int says;
        sig_atomic_t cancelled;
        int code;
        const char *tells;
    } cases[] = {
        {-ENOSPC, 0, ENOSPC, "cannot write the answer: No space left on device"},
        {-EPIPE, 0, EPIPE, "cannot write the answer: Broken pipe"},
        {-GFXB_E_INTERRUPTED, 0, GFXB_E_INTERRUPTED, "interrupted"},
        {-EINTR, 1, GFXB_E_INTERRUPTED, "interrupted"},
        {-GFXB_E_DISK_FULL, 0, GFXB_E_DISK_FULL, "cannot write the answer: disk-full"},
    };
    struct stage s = stage_new(&well);
    struct engine *engine = start_well(&s);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stopper stopper = {cases[i].says, cases[i].cancelled};
        struct engine_chat chat = {.prompt = "What is proof?",
                                   .on_text = stop_there,
                                   .context = &stopper,
                                   .cancel = &cancelled};
        struct engine_reply reply;
        struct gfxb_error err = {.text = ""};
        cancelled = 0;
        assert_int_equal(engine_chat(engine, &chat, &reply, &err), -cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        assert_string_equal(err.text, cases[i].tells);
    }
    cancelled = 0;
    engine_stop(engine);
    stage_done(&s);
}

static void a_package_without_its_engine_is_damaged(void **state)
{
    (void)state;
    struct stage s = stage_new(&well);
    struct engine *engine = NULL;
    struct gfxb_error err;
    s.package.executable = (char *)"bin/llama-server";
    assert_int_equal(start(&s, NULL, &engine, &err), -GFXB_E_PACKAGE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "double is damaged"));
    stage_done(&s);
}

static void the_log_of_a_failure_is_kept(void **state)
{
    (void)state;
    struct fault f = well;
    f.behaviour = "start exit\n";
    f.said = "0.1 E something that nobody knows\n";
    struct stage s = stage_new(&f);
    struct engine *engine = NULL;
    struct gfxb_error err;
    char *CLEAN_FREE kept = joined(s.dir, "kept.log");
    struct buf CLEAN_BUF text = BUF_INIT(1u << 18);
    struct engine_spec spec = {.package = &s.package,
                               .model = "/dev/null",
                               .runtime_dir = s.run,
                               .keep_log = kept,
                               .backend = PLAN_CPU};
    assert_int_equal(engine_start(&spec, &engine, &err), -GFXB_E_ENGINE_EXIT);
    assert_non_null(strstr(err.text, "something that nobody knows"));
    assert_int_equal(fs_read(kept, 1u << 16, &text), 0);
    assert_string_equal(buf_text(&text), f.said);
    stage_done(&s);
}

static int set_up(void **state)
{
    char path[] = "/tmp/gfxbridge-faults-XXXXXX";
    (void)state;
    fake = getenv("GFXB_TEST_FAKE_ENGINE");
    source = getenv("GFXB_TEST_SOURCE");
    top = mkdtemp(path) ? strdup(path) : NULL;
    return fake && source && top ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    int code = fs_remove_tree(top);
    free(top);
    return code;
}

int main(void)
{
    static const struct CMUnitTest life[] = {
        cmocka_unit_test(a_stubborn_engine_is_ended_by_force),
        cmocka_unit_test(what_an_engine_started_ends_with_it),
        cmocka_unit_test(an_engine_ends_with_its_killed_parent),
        cmocka_unit_test(an_engine_that_dies_is_noticed_with_its_cause),
        cmocka_unit_test(a_log_that_grows_is_cut_and_its_evidence_kept),
        cmocka_unit_test(an_interrupted_start_leaves_nothing),
        cmocka_unit_test(an_interrupted_answer_ends_at_once),
        cmocka_unit_test(an_interrupted_proof_is_no_outcome),
        cmocka_unit_test(an_answer_comes_in_pieces_that_make_the_whole),
        cmocka_unit_test(an_answer_that_nobody_takes_stops_with_the_reason),
        cmocka_unit_test(a_package_without_its_engine_is_damaged),
        cmocka_unit_test(the_log_of_a_failure_is_kept),
    };
    struct CMUnitTest tests[FAULTS + sizeof(life) / sizeof(life[0])];
    for (size_t i = 0; i < FAULTS; i++)
        tests[i] = (struct CMUnitTest){.name = faults[i].name,
                                       .test_func = a_fault_ends_with_its_cause,
                                       .initial_state = (void *)(uintptr_t)&faults[i]};
    memcpy(&tests[FAULTS], life, sizeof(life));
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

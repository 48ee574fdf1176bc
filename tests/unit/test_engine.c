/*
 * test_engine.c - the parts of engine/ that need no engine: what it says is read right, what it is
 * started with is right, what is stored comes back.
 */
#include "engine/engine_private.h"
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const struct engine_kind *const llama = &engine_kind_llama;

static char *top; /* a directory of this run */

static int make_top(void **state)
{
    char path[] = "/tmp/gfxbridge-test-XXXXXX";
    (void)state;
    top = mkdtemp(path) ? strdup(path) : NULL;
    return top ? 0 : -1;
}

static int remove_top(void **state)
{
    (void)state;
    int code = fs_remove_tree(top);
    free(top);
    return code;
}

static char *below_top(const char *name)
{
    char *path = fs_join(top, name);
    assert_non_null(path);
    return path;
}

static size_t count_entries(const char *path, const char *part)
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

/* ---- numbers ---- */

static void decimals_are_read_whole_or_not_at_all(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        double value;
    } cases[] = {
        {"0", 0, 0.0},         {"12", 0, 12.0},
        {"0.53", 0, 0.53},     {"1713.977", 0, 1713.977},
        {"", -EINVAL, 0.0},    {".5", -EINVAL, 0.0},
        {"5.", -EINVAL, 0.0},  {"1,5", -EINVAL, 0.0},
        {"-1", -EINVAL, 0.0},  {"1e3", -EINVAL, 0.0},
        {"1.2.3", -EINVAL, 0}, {"nan", -EINVAL, 0.0},
        {"1 ", -EINVAL, 0.0},  {"99999999999999999", -ERANGE, 0.0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double value = -7.0;
        assert_int_equal(decimal_parse(str_from(cases[i].text), &value), cases[i].code);
        double wanted = cases[i].code ? -7.0 : cases[i].value;
        assert_true(value > wanted - 1e-9 && value < wanted + 1e-9);
    }
    struct buf CLEAN_BUF text = BUF_INIT(256);
    decimal_add(&text, 12.3456);
    buf_add_char(&text, ' ');
    decimal_add(&text, 0.0 / 1.0);
    buf_add_char(&text, ' ');
    decimal_add(&text, -1.0);
    assert_string_equal(buf_text(&text), "12.346 0.000 0.000");
}

/* ---- device lists ---- */

static struct engine_devices parse_devices(const char *text)
{
    struct engine_devices devices = {.n = 0};
    llama->read_devices(str_from(text), &devices);
    return devices;
}

static void a_device_list_is_read_by_its_last_parentheses(void **state)
{
    (void)state;
    struct engine_devices d = parse_devices(
        "Available devices:\n"
        "  Vulkan0: AMD Radeon RX 7900 XTX (RADV NAVI31) (24560 MiB, 24510 MiB free)\n"
        "  Vulkan1: llvmpipe (LLVM 22.1.8, 256 bits) (24105 MiB, 23347 MiB free)\n"
        "  ROCm0: Radeon 8060S: Graphics (98304 MiB, 0 MiB free)\r\n");
    assert_int_equal(d.n, 3);
    assert_string_equal(d.item[0].name, "Vulkan0");
    assert_string_equal(d.item[0].description, "AMD Radeon RX 7900 XTX (RADV NAVI31)");
    assert_int_equal(d.item[0].total_mib, 24560);
    assert_int_equal(d.item[0].free_mib, 24510);
    assert_string_equal(d.item[1].description, "llvmpipe (LLVM 22.1.8, 256 bits)");
    assert_string_equal(d.item[2].description, "Radeon 8060S: Graphics");
    assert_int_equal(d.item[2].free_mib, 0);
    engine_devices_done(&d);
}

static void lines_that_are_no_device_are_passed_over(void **state)
{
    (void)state;
    static const char *const none[] = {
        "",
        "Available devices:\n  (none)\n",
        "Available devices:\n  Vulkan0: no sizes\n",
        "  Vulkan0: x (1 MiB)\n",
        "  Vulkan0: x (1 MiB, 2 MiB)\n",
        "  Vulkan0: x (-1 MiB, 2 MiB free)\n",
        "  Vulkan0: x (1 GiB, 2 MiB free)\n",
        "  two words: x (1 MiB, 2 MiB free)\n",
        "  : x (1 MiB, 2 MiB free)\n",
        "Vulkan0: not indented (1 MiB, 2 MiB free)\n",
        "  a-name-that-is-far-too-long-for-a-device: x (1 MiB, 2 MiB free)\n",
        "  Vulkan0: x 1 MiB, 2 MiB free)\n",
        "  )\n",
    };
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        struct engine_devices d = parse_devices(none[i]);
        assert_int_equal(d.n, 0);
        engine_devices_done(&d);
    }
}

static void a_list_without_end_is_cut(void **state)
{
    (void)state;
    struct buf CLEAN_BUF text = BUF_INIT(1u << 20);
    for (int i = 0; i < 5000; i++)
        buf_addf(&text, "  Vulkan%d: x (1 MiB, 1 MiB free)\n", i);
    struct engine_devices d = parse_devices(buf_text(&text));
    assert_int_equal(d.n, 64);
    engine_devices_done(&d);
}

/* ---- where the weights are ---- */

static struct engine_placement parse_placement(const char *text)
{
    struct engine_placement placement;
    llama->read_placement(str_from(text), &placement);
    return placement;
}

static void weights_are_counted_by_device(void **state)
{
    (void)state;
    struct engine_placement p = parse_placement(
        "0.00.091.724 I llama_model_loader: loaded meta data with 20 key-value pairs\n"
        "0.00.091.872 I llama_prepare_model_devices: using device ROCm0 (AMD Radeon RX 7900 XTX) "
        "(0000:03:00.0) - 24510 MiB free\n"
        "0.00.092.535 I load_tensors: offloaded 5/5 layers to GPU\n"
        "0.00.092.537 I load_tensors:   CPU_Mapped model buffer size =     0.53 MiB\n"
        "0.00.092.537 I load_tensors:   CPU_REPACK model buffer size =     0.47 MiB\n"
        "0.00.092.537 I load_tensors:    ROCm_Host model buffer size =     1.00 MiB\n"
        "0.00.092.537 I load_tensors:        ROCm0 model buffer size =     3.99 MiB\n"
        "0.00.120.451 I llama_kv_cache:      ROCm0 KV buffer size =     2.00 MiB\n"
        "0.00.131.165 I sched_reserve:      ROCm0 compute buffer size =     7.01 MiB\n"
        "0.03.995.549 I srv  llama_server: model loaded\n");
    assert_true(p.loaded);
    assert_true(p.gpu_mib > 3.98 && p.gpu_mib < 4.0);
    assert_true(p.cpu_mib > 1.99 && p.cpu_mib < 2.01);
    assert_int_equal(p.n, 2);
    assert_string_equal(p.item[0].device, "ROCm0");
    assert_string_equal(p.item[0].description, "AMD Radeon RX 7900 XTX");
    assert_string_equal(p.item[0].pci, "0000:03:00.0");
    assert_true(p.item[0].gpu && !p.item[1].gpu);
    assert_true(p.item[0].other_mib > 9.0 && p.item[0].other_mib < 9.02);
    char text[256];
    engine_placement_text(&p, text, sizeof(text));
    assert_string_equal(text, "ROCm0 (AMD Radeon RX 7900 XTX)");
}

/* As Debian's 0.7.0 writes it, with ports as sockets.c gives them. */
static void weights_on_workers_are_told_apart_by_endpoint(void **state)
{
    (void)state;
    struct engine_placement p =
        parse_placement("f: using device RPC0 (127.0.0.1:1) (unknown id) - 24105 MiB free\n"
                        "f: using device RPC1 (127.0.0.1:2) (unknown id) - 24105 MiB free\n"
                        "load_tensors:   CPU_Mapped model buffer size =     0.20 MiB\n"
                        "load_tensors: RPC0[127.0.0.1:1] model buffer size =     0.88 MiB\n"
                        "load_tensors: RPC0[127.0.0.1:2] model buffer size =     0.15 MiB\n"
                        "load_tensors: RPC0[192.168.1.5:2] model buffer size =     7.00 MiB\n"
                        "load_tensors: RPC0[127.0.0.1:70000] model buffer size =     7.00 MiB\n"
                        "load_tensors: ROCm0[127.0.0.1:1] model buffer size =     2.00 MiB\n");
    assert_true(p.remote_mib > 1.02 && p.remote_mib < 1.04);
    assert_true(p.gpu_mib > 1.99 && p.gpu_mib < 2.01);
    for (size_t i = 0; i < p.n; i++) {
        const struct engine_share *s = &p.item[i];
        bool ours = strcmp(s->device, "RPC0[127.0.0.1:1]") == 0 ||
                    strcmp(s->device, "RPC0[127.0.0.1:2]") == 0;
        assert_int_equal(s->remote, ours ? s->device[sizeof("RPC0[127.0.0.1:") - 1] - '0' : 0);
        assert_int_equal(s->gpu, strcmp(s->device, "ROCm0[127.0.0.1:1]") == 0);
    }
}

static void a_worker_tells_its_protocol(void **state)
{
    (void)state;
    char version[8] = "";
    assert_false(llama->read_protocol(STR("load_backend: loaded\n"), version, sizeof(version)));
    assert_true(llama->read_protocol(STR("x\nStarting RPC server v8.0.0\n  endpoint\n"), version,
                                     sizeof(version)));
    assert_string_equal(version, "8.0.0");
    assert_true(
        llama->read_protocol(STR("Starting RPC server v123456789012\n"), version, sizeof(version)));
    assert_string_equal(version, "1234567");
}

static void offloaded_layers_alone_prove_nothing(void **state)
{
    (void)state;
    struct engine_placement p =
        parse_placement("load_tensors: offloading 3 repeating layers to GPU\n"
                        "load_tensors: offloaded 5/5 layers to GPU\n"
                        "load_tensors:   CPU_Mapped model buffer size = 4.52 MiB\n");
    char text[64];
    assert_true(p.gpu_mib <= 0.0 && p.cpu_mib > 4.5);
    engine_placement_text(&p, text, sizeof(text));
    assert_string_equal(text, "CPU");
}

static void device_lines_come_in_many_shapes(void **state)
{
    (void)state;
    struct engine_placement p = parse_placement(
        "f: using device Vulkan0 (AMD Radeon RX 7900 XTX (RADV NAVI31)) (0000:0A:00.0) - 1 MiB "
        "free\n"
        "f: using device Vulkan1 (llvmpipe (LLVM 22.1.8, 256 bits)) (unknown id) - 23258 MiB free\n"
        "f: using device Vulkan2 (Radeon - a dash) (10000:02:00.1) - 5 MiB free\n"
        "f: using device Vulkan3 (no id) - 5 MiB free\n"
        "f: using device Vulkan4\n"
        "f: using device - \n"
        "f: using device ((((( - \n"
        "f: using device ))))) - 3 MiB free\n"
        "llama_model_loader: loaded meta data with 20 key-value pairs\n"
        "x: Vulkan0 model buffer size = 2.00 MiB\n");
    assert_int_equal(p.n, 4);
    assert_string_equal(p.item[0].description, "AMD Radeon RX 7900 XTX (RADV NAVI31)");
    assert_string_equal(p.item[0].pci, "0000:0a:00.0");
    assert_string_equal(p.item[1].description, "llvmpipe (LLVM 22.1.8, 256 bits)");
    assert_string_equal(p.item[1].pci, "");
    assert_string_equal(p.item[2].description, "Radeon - a dash");
    assert_string_equal(p.item[2].pci, "10000:02:00.1");
    assert_string_equal(p.item[3].description, "no id");
    assert_true(p.item[0].model_mib > 1.9);
}

static void a_second_load_replaces_the_first(void **state)
{
    (void)state;
    struct engine_placement p =
        parse_placement("llama_model_loader: loaded meta data\n"
                        "load_tensors: Vulkan0 model buffer size = 9.00 MiB\n"
                        "llama_model_loader: loaded meta data\n"
                        "load_tensors: CPU_Mapped model buffer size = 9.00 MiB\n");
    assert_true(p.gpu_mib <= 0.0 && p.cpu_mib > 8.9);
}

static void hostile_buffer_lines_do_no_harm(void **state)
{
    (void)state;
    struct buf CLEAN_BUF text = BUF_INIT(1u << 20);
    buf_add_text(&text, " buffer size = \n buffer size = 5 MiB\nmodel buffer size = 5 MiB\n"
                        "f: Vulkan0 model buffer size = 1e9 MiB\n"
                        "f: Vulkan0 model buffer size = -5 MiB\n"
                        "f: Vulkan0 model buffer size = 5 GiB\n"
                        "f: Vulkan0 model buffer size = 99999999999999999999 MiB\n");
    for (int i = 0; i < 100; i++)
        buf_addf(&text, "f: Dev%d model buffer size = 1.00 MiB\n", i);
    struct engine_placement p = parse_placement(buf_text(&text));
    assert_int_equal(p.n, ENGINE_PLACEMENT_MAX);
}

static void only_numbered_devices_are_gpus(void **state)
{
    (void)state;
    static const struct {
        const char *device;
        bool gpu;
    } cases[] = {{"ROCm0", true}, {"Vulkan12", true}, {"CUDA0", true}, {"CPU", false},
                 {"BLAS", false}, {"AMX", false},     {"CPU0", false}, {"0", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[128];
        snprintf(line, sizeof(line), "f: %s model buffer size = 1.00 MiB\n", cases[i].device);
        struct engine_placement p = parse_placement(line);
        assert_int_equal(p.n, 1);
        assert_int_equal(p.item[0].gpu, cases[i].gpu);
    }
}

/* ---- mapped libraries ---- */

static void libraries_of_one_tree_are_one(void **state)
{
    (void)state;
    struct maps maps;
    const struct maps_library *a, *b;
    maps_parse(STR("7f00-7f01 r-xp 00000000 08:01 12 /data/p/abc/lib/rocm/libamdhip64.so.7\n"
                   "7f01-7f02 r--p 00000000 08:01 12 /data/p/abc/lib/rocm/libamdhip64.so.7\n"
                   "7f02-7f03 r-xp 00000000 08:01 13 /data/p/abc/usr/lib/librocblas.so.5.1\n"
                   "7f04-7f05 r-xp 00000000 08:01 14 /usr/lib/x86_64-linux-gnu/libc.so.6\n"
                   "7f05-7f06 rw-p 00000000 00:00 0 \n"
                   "7ffe-7fff rw-p 00000000 00:00 0 [stack]\n"),
               STR("/data/p/abc"), &maps);
    assert_int_equal(maps.n, 2);
    assert_false(maps_are_mixed(&maps, &a, &b));
    maps_parse(STR("1-2 r-xp 0 8:1 1 /opt/rocm-7.2.0/lib/libamdhip64.so.7.2\n"
                   "1-2 r-xp 0 8:1 1 /opt/rocm-7.2.0/lib/llvm/lib/libamd_comgr.so.3\n"
                   "1-2 r-xp 0 8:1 1 /opt/rocm-7.2.0/lib64/librocblas.so.5 (deleted)\n"),
               STR("/data/p/abc"), &maps);
    assert_int_equal(maps.n, 3);
    assert_false(maps_are_mixed(&maps, &a, &b));
}

/* Once each, by name, and no other library. */
static void blas_and_its_kernel_files_are_named(void **state)
{
    (void)state;
    struct buf CLEAN_BUF text = BUF_INIT(4096);
    maps_blas_text(STR("1-2 r-xp 0 8:1 1 /p/lib/librocblas.so.5.1\n"
                       "2-3 r--p 0 8:1 1 /p/lib/librocblas.so.5.1\n"
                       "1-2 r-xp 0 8:1 1 /p/lib/libamdhip64.so.7\n"
                       "1-2 r--p 0 8:1 1 /p/share/data.dat\n"
                       "1-2 rw-p 0 0:0 0\n"
                       "1-2 r--p 0 8:1 1 /p/lib/rocblas/library/Kernels.so-000-gfx1100.hsaco\n"),
                   &text);
    assert_string_equal(buf_text(&text), "librocblas.so.5.1, Kernels.so-000-gfx1100.hsaco");
}

static void libraries_of_two_trees_are_seen(void **state)
{
    (void)state;
    struct maps maps;
    const struct maps_library *a, *b;
    maps_parse(STR("1-2 r-xp 0 8:1 1 /data/p/abc/lib/libamdhip64.so.7\n"
                   "1-2 r-xp 0 8:1 1 /opt/rocm-6.4.3/lib/libhsa-runtime64.so.1\n"),
               STR("/data/p/abc"), &maps);
    assert_true(maps_are_mixed(&maps, &a, &b));
    assert_true(str_is(a->tree, "/data/p/abc"));
    assert_true(str_is(b->tree, "/opt/rocm-6.4.3"));
    /* A neighbour whose name begins alike is another tree. */
    maps_parse(STR("1-2 r-xp 0 8:1 1 /data/p/abc/lib/libamdhip64.so.7\n"
                   "1-2 r-xp 0 8:1 1 /data/p/abcd/lib/librocblas.so.5\n"),
               STR("/data/p/abc"), &maps);
    assert_true(maps_are_mixed(&maps, &a, &b));
    /* Names that only begin like a ROCm library are none. */
    maps_parse(STR("1-2 r-xp 0 8:1 1 /x/lib/librocblas.socket\n/\n//\n1 /x/libamdhip64.sox.7\n"),
               STR_NONE, &maps);
    assert_int_equal(maps.n, 0);
}

/* ---- event streams ---- */

static int collect(void *context, struct str field, struct str value)
{
    struct buf *seen = context;
    buf_addf(seen, "%.*s=%.*s|", STR_ARG(field), STR_ARG(value));
    return str_is(value, "stop") ? -ECANCELED : 0;
}

static void a_stream_reads_the_same_in_any_pieces(void **state)
{
    (void)state;
    static const char stream[] =
        ":\n\n: ping\ndata: {\"a\":1}\r\n\r\ndata:no blank\nid: 7\nerror: bad\n"
        "data: [DONE]\n\ndata: never ended";
    for (size_t size = 1; size < sizeof(stream); size++) {
        struct sse sse;
        struct buf CLEAN_BUF seen = BUF_INIT(4096);
        sse_init(&sse, collect, &seen);
        for (size_t at = 0; at < sizeof(stream) - 1; at += size) {
            size_t left = sizeof(stream) - 1 - at;
            assert_int_equal(sse_feed(&sse, (struct str){stream + at, left < size ? left : size}),
                             0);
        }
        sse_done(&sse);
        assert_string_equal(buf_text(&seen), "data={\"a\":1}|data=no blank|error=bad|data=[DONE]|");
    }
}

static void a_line_without_end_is_refused(void **state)
{
    (void)state;
    struct sse sse;
    struct buf CLEAN_BUF seen = BUF_INIT(4096);
    char *piece = malloc(1u << 20);
    assert_non_null(piece);
    memset(piece, 'x', 1u << 20);
    sse_init(&sse, collect, &seen);
    int code = 0;
    for (size_t i = 0; i <= SSE_LINE_MAX >> 20 && code == 0; i++)
        code = sse_feed(&sse, (struct str){piece, 1u << 20});
    assert_int_equal(code, -EMSGSIZE);
    sse_done(&sse);
    sse_init(&sse, collect, &seen);
    assert_int_equal(sse_feed(&sse, STR("data: stop\ndata: not seen\n")), -ECANCELED);
    assert_string_equal(buf_text(&seen), "data=stop|");
    sse_done(&sse);
    free(piece);
}

/* ---- what an engine is started with ---- */

static struct package test_package(void)
{
    return (struct package){
        .dir = (char *)"/data/p/abc",
        .id = (char *)"test",
        .executable = (char *)"usr/bin/llama-server",
        .loader = (char *)"lib/ld.so",
        .library_path = (char *)"lib::lib/llama",
        .backend_dir = (char *)"lib/ggml",
    };
}

static struct engine_spec test_spec(const struct package *package)
{
    return (struct engine_spec){.package = package, .model = "/m/x.gguf", .threads = 3};
}

static bool words_have(const struct engine_words *words, const char *wanted)
{
    for (size_t i = 0; i < words->n; i++) {
        if (strcmp(words->word[i], wanted) == 0)
            return true;
    }
    return false;
}

static bool words_have_pair(const struct engine_words *words, const char *a, const char *b)
{
    for (size_t i = 0; i + 1 < words->n; i++) {
        if (strcmp(words->word[i], a) == 0 && strcmp(words->word[i + 1], b) == 0)
            return true;
    }
    return false;
}

static void a_launch_names_workers_by_number(void **state)
{
    (void)state;
    static const char *const args[] = {"-ngl", "30", NULL};
    static const struct engine_remote remote[] = {{.name = "attic", .layers = 12},
                                                  {.name = "cellar", .layers = 10}};
    struct package package = test_package();
    struct engine_spec spec = test_spec(&package);
    struct engine_serving serving = {.socket = "/run/e.sock", .key = "secret-key"};
    struct launch launch;
    spec.remote = remote;
    spec.n_remotes = 2;
    spec.args = args;
    for (int gpu = 0; gpu < 2; gpu++) {
        spec.backend = gpu ? PLAN_ROCM : PLAN_CPU;
        spec.device = gpu ? "ROCm1" : NULL;
        spec.layers = gpu ? 8 : 0;
        assert_int_equal(launch_new(llama, &spec, "/scratch", &serving, &launch, NULL), 0);
        assert_true(words_have_pair(&launch.argv, "--rpc", "127.0.0.1:1,127.0.0.1:2"));
        assert_true(
            words_have_pair(&launch.argv, "--device", gpu ? "RPC0,RPC1,ROCm1" : "RPC0,RPC1"));
        assert_true(words_have_pair(&launch.argv, "-ts", gpu ? "12,10,8" : "12,10"));
        assert_true(words_have_pair(&launch.argv, "-sm", "layer"));
        assert_true(words_have_pair(&launch.argv, "--cache-ram", "0"));
        assert_true(words_have_pair(&launch.argv, "-ngl", "30"));
        assert_false(words_have_pair(&launch.argv, "-ngl", "999"));
        launch_done(&launch);
    }
}

static void a_launch_is_exact(void **state)
{
    (void)state;
    static const char *const env[] = {"GGML_VK_VISIBLE_DEVICES=0", NULL};
    static const char *const args[] = {"-fa", "on", NULL};
    struct package package = test_package();
    struct engine_spec spec = test_spec(&package);
    struct engine_serving serving = {.socket = "/run/e.sock", .key = "secret-key"};
    struct launch launch;
    spec.env = env;
    spec.args = args;
    spec.device = "Vulkan0";
    spec.context = 4096;
    spec.slots = 4;
    spec.cache_dir = "/cache";
    assert_int_equal(launch_new(llama, &spec, "/scratch", &serving, &launch, NULL), 0);
    assert_string_equal(launch.argv.word[0], "/data/p/abc/lib/ld.so");
    assert_true(
        words_have_pair(&launch.argv, "--library-path", "/data/p/abc/lib:/data/p/abc/lib/llama"));
    assert_true(words_have_pair(&launch.argv, "llama-server", "/data/p/abc/usr/bin/llama-server"));
    assert_true(words_have_pair(&launch.argv, "-m", "/m/x.gguf"));
    assert_true(words_have_pair(&launch.argv, "--host", "/run/e.sock"));
    assert_true(words_have_pair(&launch.argv, "-lv", "4"));
    assert_true(words_have_pair(&launch.argv, "--device", "Vulkan0"));
    assert_true(words_have_pair(&launch.argv, "-c", "16384"));
    assert_true(words_have_pair(&launch.argv, "-np", "4"));
    assert_true(words_have_pair(&launch.argv, "--threads", "3"));
    assert_true(words_have_pair(&launch.argv, "--threads-http", "12"));
    assert_true(words_have_pair(&launch.argv, "-fa", "on"));
    assert_true(words_have(&launch.argv, "--offline"));
    assert_string_equal(launch.cwd, "/data/p/abc/lib/ggml");
    assert_true(words_have(&launch.env, "GGML_VK_VISIBLE_DEVICES=0"));
    assert_true(words_have(&launch.env, "XDG_CACHE_HOME=/cache"));
    assert_true(words_have(&launch.env, "TMPDIR=/scratch"));
    assert_true(words_have(&launch.env, "LLAMA_API_KEY=secret-key"));
    for (size_t i = 0; i < launch.argv.n; i++)
        assert_null(strstr(launch.argv.word[i], "secret-key"));
    assert_null(launch.argv.word[launch.argv.n]);
    launch_done(&launch);
}

/* So that a software Vulkan driver compiles the canary's kernels for one number of tokens only. */
static void only_the_canary_on_software_vulkan_goes_token_by_token(void **state)
{
    (void)state;
    char *canary = canary_file(llama->canary, "/data");
    struct {
        const char *model;
        enum plan_backend backend;
        bool by_token;
    } c[] = {{canary, PLAN_VULKAN_SOFTWARE, true},
             {canary, PLAN_VULKAN, false},
             {canary, PLAN_CPU, false},
             {"/data/canary/x.gguf", PLAN_VULKAN_SOFTWARE, false}};
    struct package package = test_package();
    struct engine_serving serving = {.socket = "/run/e.sock", .key = "k"};
    for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
        struct engine_spec spec = test_spec(&package);
        struct launch launch;
        spec.model = c[i].model;
        spec.backend = c[i].backend;
        assert_int_equal(launch_new(llama, &spec, "/scratch", &serving, &launch, NULL), 0);
        assert_int_equal(words_have_pair(&launch.argv, "--ubatch-size", "1"), c[i].by_token);
        assert_int_equal(words_have(&launch.argv, "--ubatch-size"), c[i].by_token);
        launch_done(&launch);
    }
    free(canary);
}

/* Where a package brings names of cards its libdrm is told. */
static void a_package_with_names_of_cards_uses_them(void **state)
{
    (void)state;
    char dir[] = "/tmp/gfxb-names-XXXXXX", wanted[128];
    struct package package = test_package();
    struct engine_spec spec = test_spec(&package);
    struct engine_serving serving = {.socket = "/run/e.sock", .key = "k"};
    struct launch launch;
    assert_non_null(mkdtemp(dir));
    package.dir = dir;
    char *CLEAN_FREE names = fs_join(dir, "usr/share/libdrm");
    char *CLEAN_FREE file = fs_join(names, "amdgpu.ids");
    snprintf(wanted, sizeof(wanted), "AMDGPU_ASIC_ID_TABLE_PATHS=%s", names);
    for (int there = 0; there < 2; there++) {
        assert_int_equal(launch_new(llama, &spec, "/scratch", &serving, &launch, NULL), 0);
        assert_int_equal(words_have(&launch.env, wanted), there);
        launch_done(&launch);
        assert_int_equal(fs_make_dirs(names, 0755, NULL), 0);
        assert_int_equal(fs_write(file, "1.0.0\n", 6, 0644, NULL), 0);
    }
    assert_int_equal(fs_remove_tree(dir), 0);
}

/* The engine's own fitting is off, and says nothing about layers: all of them or the plan's. */
static void the_plan_decides_the_layers(void **state)
{
    (void)state;
    static const char *const args[] = {"-ngl", "7", NULL};
    struct package package = test_package();
    struct engine_spec spec = test_spec(&package);
    struct engine_serving serving = {.socket = "/run/e.sock", .key = "k"};
    struct launch launch;
    for (int layers = 0; layers < 2; layers++) {
        spec.backend = PLAN_VULKAN;
        spec.args = layers ? args : NULL;
        assert_int_equal(launch_new(llama, &spec, "/scratch", &serving, &launch, NULL), 0);
        assert_true(words_have(&launch.env, "LLAMA_ARG_FIT=off"));
        assert_true(words_have_pair(&launch.argv, "-ngl", layers ? "7" : "999"));
        assert_int_not_equal(words_have_pair(&launch.argv, "-ngl", "999"), layers);
        launch_done(&launch);
    }
    spec.backend = PLAN_CPU;
    spec.args = NULL;
    assert_int_equal(launch_new(llama, &spec, "/scratch", &serving, &launch, NULL), 0);
    assert_false(words_have(&launch.argv, "-ngl"));
    launch_done(&launch);
}

static void nothing_of_our_environment_reaches_an_engine(void **state)
{
    (void)state;
    struct package package = test_package();
    struct engine_spec spec = test_spec(&package);
    struct engine_serving serving = {.socket = "/run/e.sock", .key = "k"};
    struct launch launch;
    setenv("LLAMA_ARG_PORT", "1", 1);
    setenv("LD_LIBRARY_PATH", "/evil", 1);
    setenv("HSA_OVERRIDE_GFX_VERSION", "11.0.0", 1);
    package.loader = NULL;
    assert_int_equal(launch_new(llama, &spec, "/scratch", &serving, &launch, NULL), 0);
    assert_string_equal(launch.argv.word[0], "/data/p/abc/usr/bin/llama-server");
    for (size_t i = 0; i < launch.env.n; i++) {
        assert_null(strstr(launch.env.word[i], "evil"));
        assert_null(strstr(launch.env.word[i], "LLAMA_ARG_PORT"));
        assert_null(strstr(launch.env.word[i], "HSA_"));
    }
    assert_true(words_have(&launch.env, "LD_LIBRARY_PATH=/data/p/abc/lib:/data/p/abc/lib/llama"));
    launch_done(&launch);
    unsetenv("LLAMA_ARG_PORT");
    unsetenv("LD_LIBRARY_PATH");
    unsetenv("HSA_OVERRIDE_GFX_VERSION");
}

static void the_cpu_gets_no_device(void **state)
{
    (void)state;
    struct package package = test_package();
    struct engine_spec spec = test_spec(&package);
    spec.backend = PLAN_CPU;
    assert_string_equal(launch_device(llama, &spec), "none");
    spec.backend = PLAN_ROCM;
    assert_null(launch_device(llama, &spec));
    spec.device = "ROCm1";
    assert_string_equal(launch_device(llama, &spec), "ROCm1");
}

static void tables_cannot_take_over_an_engine(void **state)
{
    (void)state;
    static const char *const bad_env[] = {"LD_PRELOAD=/x.so", "LLAMA_API_KEY=x", "PATH=/x",
                                          "no equals sign"};
    static const char *const bad_args[] = {"--api-key", "--host", "--tools", "-m"};
    struct package package = test_package();
    struct engine_serving serving = {.socket = "/run/e.sock", .key = "k"};
    struct launch launch;
    for (size_t i = 0; i < 4; i++) {
        struct gfxb_error err;
        struct engine_spec spec = test_spec(&package);
        const char *const env[] = {"A=1", bad_env[i], NULL}, *const args[] = {bad_args[i], NULL};
        spec.env = env;
        assert_int_equal(launch_new(llama, &spec, "/s", &serving, &launch, &err), -EINVAL);
        assert_non_null(strstr(err.text, bad_env[i]));
        spec.env = NULL;
        spec.args = args;
        assert_int_equal(launch_new(llama, &spec, "/s", &serving, &launch, &err), -EINVAL);
        assert_non_null(strstr(err.text, bad_args[i]));
    }
    struct engine_spec spec = test_spec(&package);
    package.dir = (char *)"/data/a:b";
    assert_int_equal(launch_new(llama, &spec, "/s", &serving, &launch, NULL), -EINVAL);
}

/* ---- run directories ---- */

static void a_run_directory_is_private_and_goes_away(void **state)
{
    (void)state;
    struct rundir rundir;
    struct stat st;
    char *base = below_top("run");
    assert_int_equal(rundir_open(base, NULL, &rundir, NULL), 0);
    assert_int_equal(stat(rundir.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_true(str_starts(str_from(rundir.socket), str_from(base)));
    char *path = strdup(rundir.path);
    rundir_close(&rundir);
    assert_int_equal(access(path, F_OK), -1);
    rundir_close(&rundir);
    free(path);
    free(base);
}

static void leftovers_of_the_dead_go_and_those_of_the_living_stay(void **state)
{
    (void)state;
    struct rundir living, next;
    char *base = below_top("run2");
    assert_int_equal(rundir_open(base, NULL, &living, NULL), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct rundir dead;
        if (rundir_open(base, NULL, &dead, NULL) < 0 || fs_write(dead.log, "x", 1, 0600, NULL) < 0)
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(count_entries(base, "engine-"), 2);
    assert_int_equal(rundir_open(base, NULL, &next, NULL), 0);
    assert_int_equal(count_entries(base, "engine-"), 2); /* the living and the new one */
    assert_int_equal(access(living.path, F_OK), 0);
    rundir_close(&next);
    rundir_close(&living);
    assert_int_equal(count_entries(base, "engine-"), 0);
    free(base);
}

static void waiting_for_a_run_directory_can_be_cancelled(void **state)
{
    (void)state;
    static const atomic_int cancel = 1;
    struct rundir rundir = RUNDIR_NONE;
    struct gfxb_error err;
    int gate = -1;
    char *base = below_top("run3"), *path = fs_join(base, ".lock");
    assert_int_equal(fs_make_dirs(base, 0700, NULL), 0);
    assert_int_equal(fs_lock(path, false, NULL, &gate, NULL), 0);
    assert_int_equal(rundir_open(base, &cancel, &rundir, &err), -GFXB_E_INTERRUPTED);
    assert_null(rundir.path);
    assert_int_equal(count_entries(base, "engine-"), 0);
    close(gate);
    free(path);
    free(base);
}

static void a_long_or_odd_path_gets_a_short_socket(void **state)
{
    (void)state;
    static const char *const names[] = {"a-very-long-name-that-nobody-would-choose-but-somebody-"
                                        "has/and-another-one-below-it-that-is-"
                                        "long",
                                        "with,comma"};
    for (size_t i = 0; i < 2; i++) {
        struct rundir rundir;
        char *base = below_top(names[i]);
        assert_int_equal(fs_make_dirs(base, 0700, NULL), 0);
        assert_int_equal(rundir_open(base, NULL, &rundir, NULL), 0);
        assert_true(strlen(rundir.socket) < 108);
        assert_null(strchr(rundir.socket, ','));
        rundir_close(&rundir);
        free(base);
    }
}

/* ---- the canary ---- */

static void the_canary_has_proofs_and_a_version(void **state)
{
    (void)state;
    struct canary_proof proof[CANARY_PROOFS_MAX];
    size_t n = 0;
    assert_int_equal(canary_proofs(llama->canary, proof, &n, NULL), 0);
    assert_true(n >= 3);
    for (size_t i = 0; i < n; i++)
        assert_true(proof[i].prompt.n > 3 && proof[i].answer.n > 20);
    char version[ENGINE_CANARY_VERSION_MAX], other[ENGINE_CANARY_VERSION_MAX];
    engine_canary_version(llama, version);
    assert_int_equal(strlen(version), 65);
    assert_int_equal(strspn(version, "0123456789abcdef-"), 65);
    /* Other questions to the seeded canaries make another fingerprint. */
    struct engine_canary canary = *llama->canary;
    struct engine_kind kind = *llama;
    kind.canary = &canary;
    canary.seeded_sha256 = canary.sha256;
    engine_canary_version(&kind, other);
    assert_string_not_equal(version, other);
}

static void a_damaged_canary_file_is_written_again(void **state)
{
    (void)state;
    char *data = below_top("data"), *path = NULL, *again = NULL;
    assert_int_equal(engine_canary_path(llama, data, NULL, &path, NULL), 0);
    struct stat first, second;
    assert_int_equal(stat(path, &first), 0);
    assert_int_equal(engine_canary_path(llama, data, NULL, &again, NULL), 0);
    assert_int_equal(stat(path, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino); /* left alone when right */
    free(again);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "XX", 2, 1000), 2);
    close(fd);
    assert_int_equal(engine_canary_path(llama, data, NULL, &again, NULL), 0);
    assert_int_equal(stat(path, &second), 0);
    assert_int_not_equal(first.st_ino, second.st_ino);
    free(again);
    free(path);
    free(data);
}

static void a_difference_is_told_in_plain_characters(void **state)
{
    (void)state;
    char text[200];
    canary_difference(STR("abcdX\1f"), STR("abcdef"), text, sizeof(text));
    assert_string_equal(text, "from byte 4 on 'X?f' instead of 'ef'");
    canary_difference(STR(""), STR("abc"), text, sizeof(text));
    assert_string_equal(text, "from byte 0 on '' instead of 'abc'");
    canary_difference(STR("abcd"), STR("abc"), text, sizeof(text));
    assert_string_equal(text, "from byte 3 on 'd' instead of ''");
}

/* ---- what was left behind by killed writers ---- */

static void the_next_writer_removes_what_a_killed_one_left(void **state)
{
    (void)state;
    char *dir = below_top("kept");
    assert_int_equal(proof_store_write(dir, "a", "1", 1, NULL, NULL), 0);
    char *left = fs_join(dir, "b.tmp-Xy12Zz");
    assert_int_equal(fs_write(left, "half", 4, 0600, NULL), 0);
    assert_int_equal(proof_store_write(dir, "c", "2", 1, NULL, NULL), 0);
    assert_int_equal(access(left, F_OK), -1);
    assert_int_equal(count_entries(dir, "tmp"), 0);
    free(left);
    free(dir);
}

/* ---- stored proofs ---- */

static struct engine_proof test_proof(bool passed)
{
    struct engine_proof proof = {
        .passed = passed,
        .code = passed ? GFXB_E_OK : GFXB_E_CANARY_MISMATCH,
        .sentence = strdup(passed ? "" : "it computes wrongly:\nfrom byte 3"),
        .device = "Vulkan0",
        .shown = "Vulkan0 (AMD Radeon RX 7900 XTX (RADV NAVI31))",
        .load_ms = 812.0,
        .first_token_ms = 3.25,
        .device_bytes = 150761111552,
        .gpu_bytes = 150754820096,
        .tokens_per_second = 1713.977,
        .log_tail = strdup("tail"),
    };
    for (size_t i = 0; i < ENGINE_RUNGS; i++) {
        proof.rung[i].rung = PLAN_E3 + (enum plan_rung)i;
        proof.rung[i].ok = i == 2 ? TRI_UNKNOWN : TRI_YES;
        proof.rung[i].detail = strdup("seen");
    }
    return proof;
}

/* A gfxbridge that was stopped (Ctrl-Z) in the wrong moment holds the lock for good. */
static void the_lock_of_proofs_is_not_waited_for_for_ever(void **state)
{
    (void)state;
    static const atomic_int cancel = 1;
    struct gfxb_error err;
    int holder = -1, fd = -1;
    char *dir = below_top("held"), *lock = fs_join(dir, ".lock"), *file = fs_join(dir, "a");
    assert_int_equal(fs_make_dirs(dir, 0700, NULL), 0);
    assert_int_equal(fs_lock(lock, false, NULL, &holder, NULL), 0);
    assert_int_equal(proof_store_lock(dir, 30, NULL, &fd, &err), -EBUSY);
    assert_non_null(strstr(err.text, lock));
    assert_int_equal(proof_store_write(dir, "a", "1", 1, &cancel, &err), -GFXB_E_INTERRUPTED);
    assert_int_equal(access(file, F_OK), -1);
    close(holder);
    assert_int_equal(proof_store_write(dir, "a", "1", 1, &cancel, NULL), 0);
    free(dir);
    free(lock);
    free(file);
}

static void a_stored_proof_comes_back(void **state)
{
    (void)state;
    char *data = below_top("proofs-1");
    struct engine_proofs *proofs = NULL;
    assert_int_equal(engine_proofs_new(data, &proofs, NULL), 0); /* nothing there yet */
    size_t n = 7;
    engine_proofs_for_plan(proofs, &n);
    assert_int_equal(n, 0);
    engine_proofs_free(proofs);
    struct engine_proof good = test_proof(true), bad = test_proof(false);
    assert_int_equal(engine_proofs_save(data, "gfx1100 kernel 6.1", &good, NULL, NULL), 0);
    assert_int_equal(engine_proofs_save(data, "gfx1101 kernel 6.1", &bad, NULL, NULL), 0);
    assert_int_equal(engine_proofs_save(data, "gfx1101 kernel 6.1", &bad, NULL, NULL), 0);
    assert_int_equal(engine_proofs_save(data, "two\nlines", &bad, NULL, NULL), -EINVAL);
    assert_int_equal(engine_proofs_new(data, &proofs, NULL), 0);
    const struct plan_proof *for_plan = engine_proofs_for_plan(proofs, &n);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++) {
        bool passed = strcmp(for_plan[i].fingerprint, "gfx1100 kernel 6.1") == 0;
        assert_int_equal(for_plan[i].passed, passed);
        assert_int_equal(for_plan[i].code, passed ? 0 : GFXB_E_CANARY_MISMATCH);
        assert_int_equal(strlen(for_plan[i].day), 10);
        assert_string_equal(for_plan[i].detail,
                            passed ? good.shown : "it computes wrongly: from byte 3");
    }
    const struct engine_proof *found = engine_proofs_find(proofs, "gfx1100 kernel 6.1");
    assert_non_null(found);
    assert_string_equal(found->device, "Vulkan0");
    assert_true(found->device_bytes == 150761111552 && found->gpu_bytes == 150754820096);
    assert_true(found->tokens_per_second > 1713.97 && found->tokens_per_second < 1713.98);
    assert_int_equal(found->rung[2].ok, TRI_UNKNOWN);
    assert_string_equal(found->rung[1].detail, "seen");
    assert_null(engine_proofs_find(proofs, "gfx1102 kernel 6.1"));
    engine_proofs_free(proofs);
    assert_int_equal(engine_proofs_remove(data, "gfx1100 kernel 6.1", NULL), 0);
    assert_int_equal(engine_proofs_remove(data, "gfx1100 kernel 6.1", NULL), 0);
    assert_int_equal(engine_proofs_new(data, &proofs, NULL), 0);
    engine_proofs_for_plan(proofs, &n);
    assert_int_equal(n, 1);
    engine_proofs_free(proofs);
    assert_int_equal(engine_proofs_remove(data, NULL, NULL), 0);
    assert_int_equal(engine_proofs_new(data, &proofs, NULL), 0);
    engine_proofs_for_plan(proofs, &n);
    assert_int_equal(n, 0);
    engine_proofs_free(proofs);
    engine_proof_done(&good);
    engine_proof_done(&bad);
    free(data);
}

static double stored_bench(const char *data, const char *fingerprint, const char *with)
{
    struct engine_proofs *proofs = NULL;
    size_t n = 0;
    assert_int_equal(engine_proofs_new(data, &proofs, NULL), 0);
    const struct plan_proof *for_plan = engine_proofs_for_plan(proofs, &n);
    double speed = -1.0;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(for_plan[i].fingerprint, fingerprint) != 0)
            continue;
        speed = for_plan[i].bench_speed;
        assert_string_equal(for_plan[i].bench_with, with);
        assert_true(for_plan[i].tokens_per_second > 1713.9); /* the canary's stays */
    }
    engine_proofs_free(proofs);
    return speed;
}

static void bench_figures_are_stored_all_or_none(void **state)
{
    (void)state;
    char *data = below_top("proofs-bench");
    struct engine_proof good = test_proof(true), bad = test_proof(false);
    assert_int_equal(engine_proofs_save(data, "gpu", &good, NULL, NULL), 0);
    assert_int_equal(engine_proofs_save(data, "cpu", &good, NULL, NULL), 0);
    assert_int_equal(engine_proofs_save(data, "broken", &bad, NULL, NULL), 0);
    struct engine_proofs_speed speed[] = {{"gpu", 55.5}, {"cpu", 6.25}, {"broken", 9}};
    assert_int_equal(engine_proofs_set_bench(data, speed, 3, "qwen", NULL, NULL), -ENOENT);
    assert_true(stored_bench(data, "gpu", "") == 0.0);
    speed[2].fingerprint = "never stored";
    assert_int_equal(engine_proofs_set_bench(data, speed, 3, "qwen", NULL, NULL), -ENOENT);
    assert_true(stored_bench(data, "gpu", "") == 0.0 && stored_bench(data, "cpu", "") == 0.0);
    assert_int_equal(engine_proofs_set_bench(data, speed, 2, "qwen, 8192 tokens", NULL, NULL), 0);
    assert_true(stored_bench(data, "gpu", "qwen, 8192 tokens") == 55.5);
    assert_true(stored_bench(data, "cpu", "qwen, 8192 tokens") == 6.25);
    /* Proven again, it has none. */
    assert_int_equal(engine_proofs_save(data, "gpu", &good, NULL, NULL), 0);
    assert_true(stored_bench(data, "gpu", "") == 0.0);
    engine_proof_done(&good);
    engine_proof_done(&bad);
    free(data);
}

static void a_models_need_has_its_attention(void **state)
{
    char *args[] = {(char *)"--temp", (char *)"1.0", (char *)"-ctk", (char *)"q8_0", (char *)"-fa",
                    (char *)"on",     NULL};
    struct model_use use = {.gguf.types = 1 << 12, .launch.args = args};
    struct engine_need need;
    (void)state;
    model_use_need(llama, &use, &need);
    assert_string_equal(need.attention, "-ctk=q8_0,-fa=on");
    assert_string_equal(need.types, "Q4_K");
    args[2] = NULL;
    model_use_need(llama, &use, &need);
    assert_string_equal(need.attention, "");
}

static void steps_are_read_as_far_as_they_are_told(void **state)
{
#define ONE(id)                                                                                    \
    "{\"id\":" id ",\"top_logprobs\":[{\"id\":" id ",\"logprob\":-0.5},{\"id\":2,\"logprob\":-3}]" \
    "}"
    static const struct {
        const char *body;
        int code;
        size_t n;
    } cases[] = {
        {"{\"completion_probabilities\":[" ONE("7") "," ONE("8") "],\"tokens\":[7,8]}", 0, 2},
        {"{\"completion_probabilities\":[" ONE("7") "," ONE("8") "]}", 0, 2},
        {"{\"completion_probabilities\":[" ONE("7") "," ONE("9") "],\"tokens\":[7,8,9]}", 0, 1},
        {"{\"completion_probabilities\":[" ONE("7") ",{\"id\":8,\"top_logprobs\":[]}]}", 0, 1},
        {"{\"completion_probabilities\":[{\"id\":-1}]}", 0, 0},
        {"{\"completion_probabilities\":[{\"id\":7,\"top_logprobs\":[{\"id\":7,\"logprob\":null}]}]"
         "}",
         0, 0},
        {"{\"content\":\"a\"}", -EPROTO, 0},
        {"[]", -EPROTO, 0},
        {"no JSON", -EPROTO, 0},
    };
#undef ONE
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct engine_steps steps = {.n = 99};
        int code = llama->read_steps(str_from(cases[i].body), &steps);
        assert_int_equal(code, cases[i].code);
        assert_int_equal(steps.n, cases[i].n);
        if (steps.n)
            assert_true(steps.step[0].token == 7 && steps.step[0].n == 2 &&
                        steps.step[0].likely[1].token == 2);
    }
}

static void a_completion_tells_its_timings(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int code;
        struct engine_timings wanted;
    } cases[] = {
        {"{\"timings\":{\"prompt_n\":3968,\"prompt_per_second\":4651.5,\"predicted_n\":64,"
         "\"predicted_per_second\":602.5}}",
         0,
         {3968, 64, 4651.5, 602.5}},
        {"{\"content\":\"no timings\"}", 0, {0, 0, 0, 0}},
        {"{\"timings\":null}", 0, {0, 0, 0, 0}},
        /* One token has no time behind it: engines tell a million, or null. */
        {"{\"timings\":{\"prompt_n\":1,\"prompt_per_second\":1e6,\"predicted_n\":1,"
         "\"predicted_per_second\":1e6}}",
         0,
         {1, 1, 0, 0}},
        {"{\"timings\":{\"prompt_n\":-5,\"prompt_per_second\":-1,\"predicted_n\":9,"
         "\"predicted_per_second\":null}}",
         0,
         {0, 9, 0, 0}},
        {"{\"timings\":{\"prompt_n\":9,\"prompt_per_second\":0,\"predicted_n\":\"9\","
         "\"predicted_per_second\":\"3\"}}",
         0,
         {9, 0, 0, 0}},
        {"[]", -EPROTO, {0, 0, 0, 0}},
        {"", -EPROTO, {0, 0, 0, 0}},
        {"{\"timings\"", -EPROTO, {0, 0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct engine_timings got = {0};
        assert_int_equal(llama->read_timings(str_from(cases[i].body), &got), cases[i].code);
        assert_int_equal(got.prompt_tokens, cases[i].wanted.prompt_tokens);
        assert_int_equal(got.tokens, cases[i].wanted.tokens);
        assert_true(got.prompt_per_second == cases[i].wanted.prompt_per_second);
        assert_true(got.tokens_per_second == cases[i].wanted.tokens_per_second);
    }
}

static void a_prompt_of_ids_has_the_length_that_was_asked(void **state)
{
    (void)state;
    static const char *const none[] = {"",
                                       "{}",
                                       "[1]",
                                       "{\"tokens\":[]}",
                                       "{\"tokens\":[1,-2]}",
                                       "{\"tokens\":[1,\"2\"]}",
                                       "{\"tokens\":[1.5]}"};
    json_t *ids = NULL;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_int_equal(llama->read_ids(str_from(none[i]), &ids), -EPROTO);
    assert_null(ids);
    assert_int_equal(llama->read_ids(STR("{\"tokens\":[7,8,9]}"), &ids), 0);
    char *text = llama->timed_request(ids, 5, 64);
    json_t *request = json_loads(text, 0, NULL), *prompt = json_object_get(request, "prompt");
    assert_int_equal(json_array_size(prompt), 5);
    assert_int_equal(json_integer_value(json_array_get(prompt, 4)), 8);
    assert_int_equal(json_integer_value(json_object_get(request, "n_predict")), 64);
    assert_true(json_is_false(json_object_get(request, "cache_prompt")));
    assert_true(json_is_true(json_object_get(request, "ignore_eos")));
    json_decref(request);
    free(text);
    json_decref(ids);
}

static void a_median_is_in_the_middle(void **state)
{
    (void)state;
    double three[] = {9, 1, 4}, two[] = {8, 2}, one[] = {3};
    assert_true(bench_median(three, 3) == 4 && bench_median(two, 2) == 5);
    assert_true(bench_median(one, 1) == 3 && bench_median(one, 0) == 0);
}

/* It is no proof, and goes with the model's file. */
static void the_outcome_of_a_model_is_kept_apart(void **state)
{
    (void)state;
    char *data = below_top("proofs-3"), *file = fs_join(data, "a model.gguf");
    struct engine_proof proof = test_proof(true), outcome = test_proof(true);
    struct engine_proofs *proofs = NULL;
    size_t n = 0;
    assert_int_equal(asprintf(&outcome.model, "0123 %s", file) < 0, 0);
    assert_int_equal(engine_proofs_save(data, "vulkan|model=1", &outcome, NULL, NULL), 0);
    assert_int_equal(engine_proofs_save(data, "vulkan", &proof, NULL, NULL), 0);
    assert_int_equal(fs_write(file, "GGUF", 4, 0644, NULL), 0);
    assert_int_equal(engine_proofs_save(data, "cpu|model=1", &outcome, NULL, NULL), 0);
    assert_int_equal(engine_proofs_new(data, &proofs, NULL), 0);
    assert_string_equal(engine_proofs_for_plan(proofs, &n)[0].fingerprint, "vulkan");
    assert_int_equal(n, 1);
    assert_null(engine_proofs_find(proofs, "vulkan")->model);
    assert_string_equal(engine_proofs_find(proofs, "cpu|model=1")->model, outcome.model);
    assert_int_equal(strlen(engine_proofs_find(proofs, "cpu|model=1")->day), 10);
    engine_proofs_free(proofs);
    /* The next outcome takes that of a file that is gone away. */
    assert_int_equal(unlink(file), 0);
    outcome.model[0] = '1';
    assert_int_equal(engine_proofs_save(data, "rocm|model=1", &outcome, NULL, NULL), 0);
    assert_int_equal(engine_proofs_new(data, &proofs, NULL), 0);
    assert_null(engine_proofs_find(proofs, "cpu|model=1"));
    assert_non_null(engine_proofs_find(proofs, "vulkan"));
    engine_proofs_free(proofs);
    engine_proof_done(&proof);
    engine_proof_done(&outcome);
    free(file);
    free(data);
}

static void a_damaged_proof_proves_nothing(void **state)
{
    (void)state;
    char *data = below_top("proofs-2"), *dir = fs_join(data, "proofs");
    struct engine_proof good = test_proof(true);
    assert_int_equal(engine_proofs_save(data, "one", &good, NULL, NULL), 0);
    struct buf CLEAN_BUF text = BUF_INIT(1u << 20);
    snprintf(good.day, sizeof(good.day), "2026-11-23");
    proofs_print(&(struct proofs_item){.fingerprint = (char *)"two", .proof = good}, &text);
    char name[128];
    snprintf(name, sizeof(name), "%064d.proof", 0);
    assert_int_equal(proof_store_write(dir, name, text.p, text.n / 2, NULL, NULL), 0);
    struct engine_proofs *proofs = NULL;
    size_t n = 0;
    assert_int_equal(engine_proofs_new(data, &proofs, NULL), 0);
    engine_proofs_for_plan(proofs, &n);
    assert_int_equal(n, 1);
    engine_proofs_free(proofs);
    /* No beginning of a proof is one, and no proof whose parts contradict each other. */
    struct proofs_item item;
    for (size_t i = 0; i + 1 < text.n; i++)
        assert_int_equal(proofs_parse((struct str){text.p, i}, &item), -EBADMSG);
    assert_int_equal(proofs_parse(buf_view(&text), &item), 0);
    proofs_item_done(&item);
    static const char *const bad[] = {
        "gfxbridge-proof 1\nfingerprint a\npassed yes\ncode too-slow\nend\n",
        "gfxbridge-proof 1\nfingerprint a\npassed no\ncode ok\nend\n",
        "gfxbridge-proof 1\nfingerprint a\npassed maybe\ncode ok\nend\n",
        "gfxbridge-proof 1\nfingerprint a\npassed yes\nend\n",
        "gfxbridge-proof 1\npassed yes\ncode ok\nend\n",
        "gfxbridge-proof 1\nfingerprint a\npassed yes\ncode fine\nend\n",
        "gfxbridge-proof 1\nfingerprint a\npassed yes\ncode ok\ntokens-per-second nan\nend\n",
        "gfxbridge-proof 2\nfingerprint a\npassed yes\ncode ok\nend\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(proofs_parse(str_from(bad[i]), &item), -EBADMSG);
    assert_int_equal(proofs_parse(STR("gfxbridge-proof 1\nfingerprint a\npassed yes\ncode ok\n"
                                      "a-key-of-tomorrow 7\nend\n"),
                                  &item),
                     0);
    proofs_item_done(&item);
    engine_proof_done(&good);
    free(dir);
    free(data);
}

/* ---- causes ---- */

static void the_table_of_causes_is_sound(void **state)
{
    (void)state;
    struct gfxb_error err = {.text = ""};
    assert_int_equal(engine_causes_check(&err), 0);
}

static void real_messages_find_their_cause(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        int code;
    } cases[] = {
        {"rocBLAS error: Cannot read /opt/rocm-5.7.0/lib/rocblas/library/TensileLibrary.dat: "
         "Illegal "
         "seek for GPU arch : gfx1103\n List of available TensileLibrary Files :",
         GFXB_E_BLAS_KERNELS_MISSING},
        {"llama-server: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required "
         "by "
         "llama-server)",
         GFXB_E_GLIBC_TOO_OLD},
        {"./llama-server: error while loading shared libraries: libhipblas.so.3: cannot open "
         "shared "
         "object file: No such file or directory",
         GFXB_E_LIBRARY_MISSING},
        {"ggml_cuda_compute_forward: SCALE failed\nROCm error: device kernel image is invalid\n",
         GFXB_E_GFX_NOT_IN_PACKAGE},
        {"E ggml_cuda_init: failed to initialize ROCm: no ROCm-capable device is detected",
         GFXB_E_DEVICE_NOT_LISTED},
        {"level=ERROR source=amd_linux.go:364 msg=\"amdgpu devices detected but permission "
         "problems "
         "block access\" error=\"kfd driver not loaded\"",
         GFXB_E_KFD_MISSING},
        {"ggml_backend_cuda_buffer_type_alloc_buffer: allocating 27846.97 MiB on device 0: "
         "cudaMalloc "
         "failed: out of memory",
         GFXB_E_MEMORY_TOO_SMALL},
        {"ggml_gallocr_reserve_n: failed to allocate ROCm0 buffer of size 14822711296",
         GFXB_E_MEMORY_TOO_SMALL},
        {"terminate called after throwing an instance of 'vk::DeviceLostError'",
         GFXB_E_ENGINE_CRASH},
        {"vk::createInstanceUnique: ErrorIncompatibleDriver", GFXB_E_VULKAN_DRIVER_MISSING},
        {"[127033.27] amdgpu 0000:c5:00.0: amdgpu: ring gfx_0.0.0 timeout, signaled seq=2662395",
         GFXB_E_ENGINE_HANG},
        {"amdgpu 0000:c5:00.0: amdgpu: MES failed to respond to msg=REMOVE_QUEUE",
         GFXB_E_FIRMWARE_QUIRK},
        {"Error: Cannot install llamacpp:rocm on this system: Unsupported GPU: gfx950",
         GFXB_E_GFX_NOT_IN_PACKAGE},
        {"modprobe: ERROR: could not insert 'amdgpu': Key was rejected by service",
         GFXB_E_DRIVER_MISSING},
        {"W: Failed to fetch http://x/  Could not resolve 'x'", GFXB_E_OFFLINE},
        {"error while handling argument \"--device\": invalid device: ROCm0",
         GFXB_E_DEVICE_NOT_LISTED},
        {"gguf_init_from_file_impl: invalid magic characters: 'abcd', expected 'GGUF'",
         GFXB_E_ENGINE_EXIT},
        {"Error: llama runner process has terminated: signal: aborted (core dumped)",
         GFXB_E_ENGINE_CRASH},
        {"(Exit code: 18446744072635812000). Unknown error. Try a different model and/or config.",
         GFXB_E_ENGINE_CRASH},
        {"WARN source=amd_linux.go:61 msg=\"...\" error=\"amdgpu version file missing: /sys\"",
         GFXB_E_OK},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct engine_cause cause = {.code = -1};
        assert_int_equal(engine_cause_find(str_from(cases[i].message), &cause, 1), 1);
        if (cause.code != cases[i].code)
            fail_msg("%s: %s", cases[i].message, gfxb_code_name(cause.code));
    }
}

static void a_pattern_stays_within_its_line(void **state)
{
    (void)state;
    struct engine_cause cause;
    assert_int_equal(engine_cause_find(STR("Cannot read /x\nTensileLibrary.dat"), &cause, 1), 0);
    assert_int_equal(engine_cause_find(STR("CANNOT READ /x/tensilelibrary.dat"), &cause, 1), 1);
    assert_int_equal(engine_cause_find(STR(""), &cause, 1), 0);
    assert_int_equal(engine_cause_find(STR("all is well\n"), &cause, 1), 0);
}

/* Words of the Vulkan loader 1.3.239 and 1.4.3xx, of drivers that lack something. */
#define LACKS(library)                                                                             \
    "ERROR:            " library ": cannot open shared object file: No such file\n"
#define GAVE_UP(driver)                                                                            \
    "ERROR:            loader_icd_scan: Failed loading library associated with ICD JSON " driver   \
    ". Ignoring this JSON\n"
#define NO_START(driver)                                                                           \
    "[Vulkan Loader] ERROR | DRIVER:  loader_scanned_icd_add: Could not get 'vkCreateInstance' "   \
    "via 'vk_icdGetInstanceProcAddr' for ICD " driver "\n"
#define RADV "/usr/lib/x86_64-linux-gnu/libvulkan_radeon.so"

static void the_loader_names_the_driver_and_what_it_lacks(void **state)
{
    (void)state;
    static const char bare[] = "gfxbridge machine 1\nfile /etc/os-release ID=debian\n"
                               "dir /lib\ndir /usr/lib\ndir /lib64\ndir /usr/lib64\n"
                               "absent /etc/ld.so.cache\n";
    static const struct {
        const char *said;
        unsigned vendor;
        int code; /* 0: nothing of a driver of this vendor */
        const char *tells;
    } cases[] = {
        /* A bare server: libEGL.so.1 is in no list of libraries, the driver opens it. */
        {NO_START("libGLX_nvidia.so.0") GAVE_UP("libGLX_nvidia.so.0"), 0x10de,
         GFXB_E_LIBRARY_MISSING,
         "NVIDIA's Vulkan driver opens libEGL.so.1, which is missing: sudo apt install libegl1"},
        {LACKS("libGLX_nvidia.so.0") GAVE_UP("libGLX_nvidia.so.0"), 0x10de,
         GFXB_E_VULKAN_DRIVER_MISSING, "its library libGLX_nvidia.so.0 is missing"},
        {LACKS("libLLVM-15.so.1") GAVE_UP(RADV), 0x1002, GFXB_E_LIBRARY_MISSING,
         "Mesa's RADV needs libLLVM-15.so.1, which is missing: sudo apt install libllvm15"},
        {NO_START(RADV), 0x1002, GFXB_E_VULKAN_DRIVER_MISSING, "does not start"},
        /* Another vendor's driver says nothing about this GPU, and the right one comes later. */
        {LACKS("libGLX_nvidia.so.0") GAVE_UP("libGLX_nvidia.so.0"), 0x1002, 0, ""},
        {LACKS("libGLX_nvidia.so.0") GAVE_UP("libGLX_nvidia.so.0") LACKS("libelf.so.1")
             GAVE_UP(RADV),
         0x1002, GFXB_E_LIBRARY_MISSING, "libelf.so.1, which is missing: sudo apt install libelf1"},
        {LACKS("libx.so.7") GAVE_UP("/opt/gpu/libother.so"), 0x8086, GFXB_E_LIBRARY_MISSING,
         "the Vulkan driver needs libx.so.7, which is missing: apt-file search libx.so.7"},
        {"ERROR:            vkCreateInstance: Found no drivers!\n", 0x1002, 0, ""},
        {": cannot open shared object file\nfor ICD \n", 0x1002, 0, ""},
        {"", 0x1002, 0, ""},
    };
    struct root *root = NULL;
    struct gfxb_error err = {0};
    assert_int_equal(root_new_text("bare", str_from(bare), &root, &err), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int code = loader_explain(root, str_from(cases[i].said), cases[i].vendor, &err);
        if (code != -cases[i].code || (code && !strstr(err.text, cases[i].tells)))
            fail_msg("%zu: %s, %s", i, gfxb_code_name(-code), err.text);
    }
    root_free(root);
    assert_int_equal(engine_drivers_check(&err), 0);
}

static void an_end_is_explained_by_its_cause_or_its_last_words(void **state)
{
    (void)state;
    struct gfxb_error err;
    int abort_status = SIGABRT, exit_status = 1 << 8, kill_status = SIGKILL;
    assert_int_equal(
        diagnose_explain(
            llama, abort_status,
            STR("0.1 I x\nrocBLAS error: Cannot read /l/TensileLibrary.dat: No such file "
                "for GPU arch : gfx1036\n"),
            "while loading", &err),
        -GFXB_E_BLAS_KERNELS_MISSING);
    assert_non_null(strstr(err.text, "while loading (signal 6 (SIGABRT))"));
    assert_int_equal(diagnose_explain(llama, exit_status,
                                      STR("0.00.1.1 I srv  a: fine\n0.00.1.2 E srv  b: it broke\n"
                                          "0.00.1.3 I srv  c: cleaning up\n"),
                                      "while loading", &err),
                     -GFXB_E_ENGINE_EXIT);
    assert_non_null(strstr(err.text, "its last words: srv  b: it broke"));
    assert_int_equal(diagnose_explain(llama, kill_status, STR("0.1 I x\n"), "while serving", &err),
                     -GFXB_E_MEMORY_TOO_SMALL);
    assert_int_equal(diagnose_explain(llama, SIGSEGV, STR(""), "while loading", &err),
                     -GFXB_E_ENGINE_CRASH);
    assert_non_null(strstr(err.text, "without a word"));
    /* A harmless warning is not the cause. */
    assert_int_equal(diagnose_explain(llama, exit_status,
                                      STR("warning: no usable GPU found, --gpu-layers ignored\n"
                                          "something else failed\n"),
                                      "while loading", &err),
                     -GFXB_E_ENGINE_EXIT);
    assert_non_null(strstr(err.text, "something else failed"));
}

static void a_process_count_is_sensible(void **state)
{
    (void)state;
    unsigned n = engine_default_threads();
    assert_true(n >= 1 && n <= (unsigned)sysconf(_SC_NPROCESSORS_CONF));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_models_need_has_its_attention),
        cmocka_unit_test(steps_are_read_as_far_as_they_are_told),
        cmocka_unit_test(decimals_are_read_whole_or_not_at_all),
        cmocka_unit_test(a_device_list_is_read_by_its_last_parentheses),
        cmocka_unit_test(lines_that_are_no_device_are_passed_over),
        cmocka_unit_test(a_list_without_end_is_cut),
        cmocka_unit_test(weights_are_counted_by_device),
        cmocka_unit_test(weights_on_workers_are_told_apart_by_endpoint),
        cmocka_unit_test(a_worker_tells_its_protocol),
        cmocka_unit_test(offloaded_layers_alone_prove_nothing),
        cmocka_unit_test(device_lines_come_in_many_shapes),
        cmocka_unit_test(a_second_load_replaces_the_first),
        cmocka_unit_test(hostile_buffer_lines_do_no_harm),
        cmocka_unit_test(only_numbered_devices_are_gpus),
        cmocka_unit_test(libraries_of_one_tree_are_one),
        cmocka_unit_test(libraries_of_two_trees_are_seen),
        cmocka_unit_test(blas_and_its_kernel_files_are_named),
        cmocka_unit_test(a_package_with_names_of_cards_uses_them),
        cmocka_unit_test(a_stream_reads_the_same_in_any_pieces),
        cmocka_unit_test(a_line_without_end_is_refused),
        cmocka_unit_test(a_launch_names_workers_by_number),
        cmocka_unit_test(a_launch_is_exact),
        cmocka_unit_test(only_the_canary_on_software_vulkan_goes_token_by_token),
        cmocka_unit_test(nothing_of_our_environment_reaches_an_engine),
        cmocka_unit_test(the_plan_decides_the_layers),
        cmocka_unit_test(the_cpu_gets_no_device),
        cmocka_unit_test(tables_cannot_take_over_an_engine),
        cmocka_unit_test(a_run_directory_is_private_and_goes_away),
        cmocka_unit_test(leftovers_of_the_dead_go_and_those_of_the_living_stay),
        cmocka_unit_test(waiting_for_a_run_directory_can_be_cancelled),
        cmocka_unit_test(a_long_or_odd_path_gets_a_short_socket),
        cmocka_unit_test(the_canary_has_proofs_and_a_version),
        cmocka_unit_test(a_damaged_canary_file_is_written_again),
        cmocka_unit_test(the_lock_of_proofs_is_not_waited_for_for_ever),
        cmocka_unit_test(a_difference_is_told_in_plain_characters),
        cmocka_unit_test(the_next_writer_removes_what_a_killed_one_left),
        cmocka_unit_test(a_stored_proof_comes_back),
        cmocka_unit_test(bench_figures_are_stored_all_or_none),
        cmocka_unit_test(a_completion_tells_its_timings),
        cmocka_unit_test(a_prompt_of_ids_has_the_length_that_was_asked),
        cmocka_unit_test(a_median_is_in_the_middle),
        cmocka_unit_test(the_outcome_of_a_model_is_kept_apart),
        cmocka_unit_test(a_damaged_proof_proves_nothing),
        cmocka_unit_test(the_table_of_causes_is_sound),
        cmocka_unit_test(real_messages_find_their_cause),
        cmocka_unit_test(a_pattern_stays_within_its_line),
        cmocka_unit_test(the_loader_names_the_driver_and_what_it_lacks),
        cmocka_unit_test(an_end_is_explained_by_its_cause_or_its_last_words),
        cmocka_unit_test(a_process_count_is_sensible),
    };
    return cmocka_run_group_tests(tests, make_top, remove_top);
}

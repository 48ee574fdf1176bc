/*
 * llama_server.c - llama.cpp's server: how it is started and what its output says. The only file,
 * with llama_server_http.c, that knows its words.
 */
#include "engine/engine_private.h"

#include <errno.h>
#include <stdio.h>

#define LLAMA_CACHE_RAM   "256" /* MiB for prompts of idle slots; the engine's own is 8192 */
#define LLAMA_PING        "1"   /* s: with a stream open SIGTERM is obeyed only at a ping */
#define LLAMA_VERBOSITY   "4"   /* the first level that shows devices and buffers */
#define LLAMA_LAYERS      "-ngl"
#define LLAMA_ALL_LAYERS  "999" /* more than any model has: builds before "all" take it too */
#define LLAMA_DEVICES_MAX 64

/* ---- its command line ---- */

static bool llama_has(const char *const *words, const char *word)
{
    for (; words && *words; words++) {
        if (strcmp(*words, word) == 0)
            return true;
    }
    return false;
}

/* Workers first and this computer's device behind them, with the layers of each. */
static void llama_add_remotes(const struct engine_spec *spec, const char *device,
                              struct engine_words *argv)
{
    struct buf CLEAN_BUF rpc = BUF_INIT(4096), devices = BUF_INIT(4096), layers = BUF_INIT(4096);
    unsigned sum = spec->layers;
    for (size_t i = 0; i < spec->n_remotes; i++)
        sum += spec->remote[i].layers;
    for (size_t i = 0; i < spec->n_remotes; i++) {
        const char *comma = i ? "," : "";
        buf_addf(&rpc, "%s127.0.0.1:%zu", comma, i + 1); /* sockets.c knows these */
        buf_addf(&devices, "%sRPC%zu", comma, i);
        buf_addf(&layers, "%s%u", comma, sum ? spec->remote[i].layers : 1);
    }
    if (device && spec->backend != PLAN_CPU) {
        buf_addf(&devices, ",%s", device);
        buf_addf(&layers, ",%u", sum ? spec->layers : 1);
    }
    /* Prompts of idle slots are not kept: to fetch them back over RPC aborts (ggml-org#26529). */
    const char *const words[] = {
        "--rpc", buf_text(&rpc), "--device",        buf_text(&devices), "-sm",
        "layer", "-ts",          buf_text(&layers), "--cache-ram",      "0"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        engine_words_add(argv, "%s", words[i]);
}

static void llama_add_worker_arguments(const struct engine_spec *spec,
                                       const struct engine_serving *serving,
                                       struct engine_words *argv)
{
    const char *device = launch_device(&engine_kind_llama, spec);
    engine_words_add(argv, "--threads");
    engine_words_add(argv, "%u", serving->threads);
    if (spec->backend == PLAN_CPU)
        device = "CPU"; /* with "none" it would have no device at all */
    if (device) {
        engine_words_add(argv, "--device");
        engine_words_add(argv, "%s", device);
    }
}

static void llama_add_arguments(const struct engine_spec *spec,
                                const struct engine_serving *serving, struct engine_words *argv)
{
    static const char *const fixed[] = {
        "--offline", "--no-webui",  "-lv",           LLAMA_VERBOSITY,       "--log-colors",
        "off",       "--cache-ram", LLAMA_CACHE_RAM, "--sse-ping-interval", LLAMA_PING};
    unsigned slots = spec->slots ? spec->slots : 1;
    const char *device = launch_device(&engine_kind_llama, spec);
    engine_words_add(argv, "-m");
    engine_words_add(argv, "%s", spec->model);
    engine_words_add(argv, "--host");
    engine_words_add(argv, "%s", serving->socket);
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        engine_words_add(argv, "%s", fixed[i]);
    engine_words_add(argv, "-np");
    engine_words_add(argv, "%u", slots);
    engine_words_add(argv, "--threads");
    engine_words_add(argv, "%u", serving->threads);
    /* Its own count, slots + 4, stalls for seconds when there are more connections. */
    engine_words_add(argv, "--threads-http");
    engine_words_add(argv, "%u", spec->http_threads ? spec->http_threads : slots + 8);
    /* Its -c is of all slots. One cache for all of them (--kv-unified) would be smaller, but when
     * it is full every answer under way ends with an error (measured). */
    if (spec->context) {
        engine_words_add(argv, "-c");
        engine_words_add(argv, "%llu", (unsigned long long)spec->context * slots);
    }
    /* Lavapipe compiles the kernels of every type of weights for one token, for two, and for many:
     * 31 s for the canary, which has five types; 11 s for one token alone (measured). */
    if (spec->backend == PLAN_VULKAN_SOFTWARE && serving->is_canary) {
        engine_words_add(argv, "--ubatch-size");
        engine_words_add(argv, "1");
    }
    if (spec->slots_dir) {
        engine_words_add(argv, "--slot-save-path");
        engine_words_add(argv, "%s", spec->slots_dir);
    }
    /* All layers, unless the choice says how many. */
    if ((spec->backend != PLAN_CPU || spec->n_remotes) && !llama_has(spec->args, LLAMA_LAYERS)) {
        engine_words_add(argv, LLAMA_LAYERS);
        engine_words_add(argv, LLAMA_ALL_LAYERS);
    }
    if (spec->n_remotes)
        llama_add_remotes(spec, device, argv);
    else if (device &&
             !llama_has(spec->args, "--device")) { /* the plan's choice may name it itself */
        engine_words_add(argv, "--device");
        engine_words_add(argv, "%s", device);
    }
}

/*
 * libgomp's threads spin at every barrier; beside another busy process that made generation 10
 * times slower (measured: 7 tokens/s of 75). This short a spin costs nothing measurable.
 * The plan decides which layers go where. The engine's own fit would decide again: it wants 1 GiB
 * left free on a device, else it takes a model that would fit to the CPU. A build that has no such
 * option ends at the argument, and passes over the variable.
 */
static const char *const llama_variables[] = {"GOMP_SPINCOUNT=1000", "LLAMA_ARG_FIT=off", NULL};

/* On the CPU, the weights as they are in the file: what the file's pages hold is not held twice. */
static const char *const llama_plain_variables[] = {"LLAMA_ARG_NO_REPACK=1", NULL};

/* Types of the key-value cache; flash attention. */
static const char *const llama_attention_arguments[] = {
    "-ctk", "--cache-type-k", "-ctv", "--cache-type-v", "-fa", "--flash-attn", NULL};

#define LLAMA_WORDS(...)                                                                           \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

/* Later ones stand behind earlier ones and win. Quantised values need flash attention. */
static const struct engine_knob llama_knobs[] = {
    {.title = "flash attention",
     .names = LLAMA_WORDS("-fa", "--flash-attn"),
     .settings = LLAMA_WORDS("-fa on", "-fa off")},
    {.title = "batch",
     .names = LLAMA_WORDS("-b", "--batch-size", "-ub", "--ubatch-size"),
     .settings = LLAMA_WORDS("-ub 128", "-ub 256", "-ub 1024", "-b 4096 -ub 2048")},
    {.title = "cache types",
     .names = LLAMA_WORDS("-ctk", "--cache-type-k", "-ctv", "--cache-type-v"),
     .settings = LLAMA_WORDS("-ctk q8_0 -ctv q8_0 -fa on")},
    {.title = "threads",
     .names = LLAMA_WORDS("-t", "--threads", "-tb", "--threads-batch"),
     .settings = LLAMA_WORDS("-t {n}"),
     .number = ENGINE_NUMBER_THREADS},
    {.title = "layers on the GPU",
     .names = LLAMA_WORDS("-ngl", "--gpu-layers", "--n-gpu-layers"),
     .settings = LLAMA_WORDS("-ngl {n}"),
     .number = ENGINE_NUMBER_LAYERS},
    {.title = "experts on the CPU",
     .names = LLAMA_WORDS("-ncmoe", "--n-cpu-moe", "-cmoe", "--cpu-moe"),
     .settings = LLAMA_WORDS(LLAMA_LAYERS " " LLAMA_ALL_LAYERS " --n-cpu-moe {n}"),
     .number = ENGINE_NUMBER_EXPERTS},
    {.title = "graphs",
     .names = LLAMA_WORDS("GGML_CUDA_DISABLE_GRAPHS"),
     .settings = LLAMA_WORDS("GGML_CUDA_DISABLE_GRAPHS=1"),
     .backends = 1u << PLAN_ROCM},
    {.title = "slots",
     .names = LLAMA_WORDS("-np", "--parallel"),
     .settings = LLAMA_WORDS("slots={n}"),
     .number = ENGINE_NUMBER_SLOTS},
    {.title = "loading",
     .names = LLAMA_WORDS("-lm", "--load-mode", "--mmap", "--no-mmap", "-dio", "--direct-io"),
     .settings = LLAMA_WORDS("-lm none", "-lm dio"),
     .start = true},
    {.title = NULL},
};

static const char *const llama_own_arguments[] = {
    "-m",     "--model",    "--host",         "--port",  "--api-key",        "--tools",
    "--path", "--log-file", "--api-key-file", "--agent", "--slot-save-path", NULL};
static const char *const llama_own_variables[] = {"LLAMA_", "AIP_", NULL};
static const char *const llama_free_variables[] = {"LLAMA_ARG_LOAD_MODE=",
                                                   NULL}; /* how a model's file is read */

/* ---- its devices ---- */

static void llama_copy(char *to, size_t size, struct str from)
{
    snprintf(to, size, "%.*s", STR_ARG(from));
}

/* "Starting RPC server v8.0.0" */
static bool llama_read_protocol(struct str log, char *ret_version, size_t size)
{
    struct str line, version;
    while (str_cut(&log, '\n', &line)) {
        version = str_trim(line);
        struct str mark = STR("Starting RPC server v");
        if (!str_starts(version, mark))
            continue;
        llama_copy(ret_version, size, (struct str){version.p + mark.n, version.n - mark.n});
        return true;
    }
    return false;
}

/* "24105 MiB" */
static bool llama_mib(struct str text, struct str unit, uint64_t *ret_mib)
{
    text = str_trim(text);
    if (!str_ends(text, unit))
        return false;
    text.n -= unit.n;
    return str_to_u64(str_trim(text), 10, ret_mib) == 0;
}

/* "  Vulkan0: llvmpipe (LLVM 22.1.8, 256 bits) (24105 MiB, 23347 MiB free)": the description may
 * hold parentheses and colons, so the name ends at the first colon and the sizes are in the last
 * pair. */
static bool llama_device(struct str line, struct engine_device *ret_device)
{
    struct str name, rest = line, total, spare;
    struct engine_device device = {.name = ""};
    if (!str_starts(line, STR("  ")) || memchr(line.p, '\0', line.n))
        return false;
    line = rest = str_trim(line);
    if (!str_cut(&rest, ':', &name) || name.n == 0 || name.n >= sizeof(device.name) ||
        memchr(name.p, ' ', name.n) || !str_ends(rest, STR(")")))
        return false;
    const char *open = memrchr(rest.p, '(', rest.n);
    if (!open)
        return false;
    struct str description = {rest.p, (size_t)(open - rest.p)};
    spare = (struct str){open + 1, rest.n - description.n - 2};
    if (!str_cut(&spare, ',', &total) || !llama_mib(total, STR("MiB"), &device.total_mib) ||
        !llama_mib(spare, STR("MiB free"), &device.free_mib))
        return false;
    llama_copy(device.name, sizeof(device.name), name);
    llama_copy(device.description, sizeof(device.description), str_trim(description));
    *ret_device = device;
    return true;
}

static void llama_read_devices(struct str text, struct engine_devices *ret_devices)
{
    struct engine_device *item = xcalloc(LLAMA_DEVICES_MAX, sizeof(item[0]));
    struct str line;
    size_t n = 0;
    while (n < LLAMA_DEVICES_MAX && str_cut(&text, '\n', &line)) {
        if (llama_device(line, &item[n]))
            n++;
    }
    ret_devices->item = item;
    ret_devices->n = n;
}

/* ---- where its weights are ---- */

/* "CPU_Mapped" and "Vulkan0_Private" are kinds of memory of CPU and Vulkan0; "Vulkan_Host" is host
 * memory that the device can reach, so it belongs to the CPU. */
static struct str llama_device_of(struct str buffer)
{
    static const char *const kinds[] = {"_Mapped", "_REPACK", "_Private", "_AARCH64", "_Split"};
    if (str_ends(buffer, STR("_Host")))
        return STR("CPU");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (str_ends(buffer, str_from(kinds[i])))
            buffer.n -= strlen(kinds[i]);
    }
    return buffer;
}

/* "RPC0[127.0.0.1:2]": the device's number counts the devices of one worker, the port is the
 * worker's. 0: none of ours. */
static unsigned llama_remote(struct str device)
{
    const struct str mark = STR("[127.0.0.1:");
    const char *at = memmem(device.p, device.n, mark.p, mark.n);
    uint64_t number = 0;
    if (!at || !str_starts(device, STR("RPC")) || !str_ends(device, STR("]")))
        return 0;
    struct str port = {at + mark.n, device.n - (size_t)(at - device.p) - mark.n - 1};
    return str_to_u64(port, 10, &number) == 0 && number <= UINT16_MAX ? (unsigned)number : 0;
}

/* A name and a number: "ROCm0", "Vulkan12". Not "CPU", "BLAS", "AMX", "RPC0". */
static bool llama_is_gpu(struct str device)
{
    size_t letters = 0;
    while (letters < device.n && ((device.p[letters] >= 'A' && device.p[letters] <= 'Z') ||
                                  (device.p[letters] >= 'a' && device.p[letters] <= 'z')))
        letters++;
    struct str kind = {device.p, letters};
    return letters > 0 && letters < device.n && device.p[letters] >= '0' &&
           device.p[letters] <= '9' && !str_is(kind, "CPU") && !str_is(kind, "BLAS") &&
           !str_is(kind, "RPC");
}

static struct engine_share *llama_share(struct engine_placement *placement, struct str device)
{
    for (size_t i = 0; i < placement->n; i++) {
        if (str_is(device, placement->item[i].device))
            return &placement->item[i];
    }
    if (placement->n == ENGINE_PLACEMENT_MAX || device.n == 0 ||
        device.n >= sizeof(placement->item[0].device))
        return NULL;
    struct engine_share *share = &placement->item[placement->n++];
    *share = (struct engine_share){.gpu = llama_is_gpu(device),
                                   .remote = llama_remote(device),
                                   .model_mib = -1.0,
                                   .other_mib = -1.0};
    llama_copy(share->device, sizeof(share->device), device);
    return share;
}

static struct str llama_last_word(struct str *rest)
{
    *rest = str_trim(*rest);
    size_t from = rest->n;
    while (from && rest->p[from - 1] != ' ' && rest->p[from - 1] != '\t')
        from--;
    struct str word = {rest->p + from, rest->n - from};
    rest->n = from;
    return word;
}

/* "load_tensors:      Vulkan0 model buffer size =     3.99 MiB" */
static bool llama_take_buffer(struct engine_placement *placement, struct str line)
{
    static const char mark[] = " buffer size = ";
    const char *at = memmem(line.p, line.n, mark, sizeof(mark) - 1);
    if (!at)
        return false;
    struct str before = {line.p, (size_t)(at - line.p)};
    struct str after = {at + sizeof(mark) - 1, line.n - before.n - (sizeof(mark) - 1)};
    struct str number, unit, kind = llama_last_word(&before);
    struct str device = llama_last_word(&before);
    double mib = 0.0;
    if (!str_word(&after, &number) || !str_word(&after, &unit) || !str_is(unit, "MiB") ||
        decimal_parse(number, &mib) < 0)
        return true;
    struct engine_share *share = llama_share(placement, llama_device_of(device));
    if (!share)
        return true;
    double *sum = str_is(kind, "model") ? &share->model_mib : &share->other_mib;
    *sum = (*sum < 0.0 ? 0.0 : *sum) + mib;
    return true;
}

/* Cut "(text)" off the end of *rest. The text may hold closed pairs of parentheses. */
static bool llama_cut_pair(struct str *rest, struct str *ret_inside)
{
    *rest = str_trim(*rest);
    if (!str_ends(*rest, STR(")")))
        return false;
    size_t depth = 0, i = rest->n;
    while (i > 0) {
        i--;
        if (rest->p[i] == ')')
            depth++;
        if (rest->p[i] == '(' && --depth == 0)
            break;
    }
    if (depth != 0)
        return false;
    *ret_inside = (struct str){rest->p + i + 1, rest->n - i - 2};
    rest->n = i;
    return true;
}

static bool llama_is_hex(struct str text, size_t least, size_t most)
{
    size_t n = 0;
    while (n < text.n && str_hex_digit(text.p[n]) >= 0)
        n++;
    return n == text.n && n >= least && n <= most;
}

/* "0000:03:00.0"; a domain may have more digits. */
static bool llama_is_pci(struct str text)
{
    struct str domain, bus, slot;
    return str_cut(&text, ':', &domain) && str_cut(&text, ':', &bus) &&
           str_cut(&text, '.', &slot) && llama_is_hex(domain, 4, 8) && llama_is_hex(bus, 2, 2) &&
           llama_is_hex(slot, 2, 2) && llama_is_hex(text, 1, 1);
}

static void llama_set_pci(char *to, size_t size, struct str pci)
{
    llama_copy(to, size, pci);
    for (char *c = to; *c; c++)
        *c = str_lower(*c);
}

/* "using device Vulkan0 (AMD Radeon RX 7900 XTX (RADV NAVI31)) (0000:03:00.0) - 23258 MiB free" */
static bool llama_take_device(struct engine_placement *placement, struct str line)
{
    static const char mark[] = ": using device ", dash[] = " - ";
    const char *at = memmem(line.p, line.n, mark, sizeof(mark) - 1);
    if (!at)
        return false;
    struct str rest = {at + sizeof(mark) - 1, line.n - (size_t)(at - line.p) - (sizeof(mark) - 1)};
    struct str name = STR_NONE, id = STR_NONE, description = STR_NONE;
    size_t end = rest.n; /* the last dash: descriptions may hold one too */
    while (end >= sizeof(dash) - 1 && memcmp(rest.p + end - 3, dash, 3) != 0)
        end--;
    if (end < sizeof(dash) - 1)
        return true;
    rest.n = end - 3;
    if (!llama_cut_pair(&rest, &id))
        return true;
    if (!llama_cut_pair(&rest, &description)) {
        description = id; /* an engine that does not tell ids */
        id = STR_NONE;
    }
    if (!str_word(&rest, &name))
        return true;
    struct engine_share *share = llama_share(placement, name);
    if (!share)
        return true;
    llama_copy(share->description, sizeof(share->description), description);
    if (llama_is_pci(id))
        llama_set_pci(share->pci, sizeof(share->pci), id);
    return true;
}

static void llama_take_line(struct engine_placement *placement, struct str line)
{
    if (str_has(line, STR("llama_model_loader: loaded meta data"))) {
        /* A new load begins. Its devices may have been named before this line or after it. */
        for (size_t i = 0; i < placement->n; i++)
            placement->item[i].model_mib = placement->item[i].other_mib = -1.0;
        return;
    }
    if (str_ends(line, STR("model loaded")))
        placement->loaded = true;
    else if (!llama_take_buffer(placement, line))
        llama_take_device(placement, line);
}

static void llama_read_placement(struct str log, struct engine_placement *ret_placement)
{
    struct engine_placement placement = {.n = 0};
    struct str line;
    while (str_cut(&log, '\n', &line))
        llama_take_line(&placement, str_trim(line));
    for (size_t i = 0; i < placement.n; i++) {
        double mib = placement.item[i].model_mib;
        if (mib > 0.0 && placement.item[i].remote)
            placement.remote_mib += mib;
        else if (mib > 0.0 && placement.item[i].gpu)
            placement.gpu_mib += mib;
        else if (mib > 0.0)
            placement.cpu_mib += mib;
    }
    *ret_placement = placement;
}

/* "0.04.040.428 E slot   operator(): text": the level letter says it best. */
static bool llama_cut_stamp(struct str *line, bool *ret_error)
{
    struct str rest = *line, stamp, level;
    if (!str_word(&rest, &stamp) || stamp.p[0] < '0' || stamp.p[0] > '9' ||
        !str_word(&rest, &level) || level.n != 1)
        return false;
    *ret_error = level.p[0] == 'E';
    if (stamp.n > 4 && memchr(stamp.p, '.', stamp.n))
        *line = str_trim(rest);
    return true;
}

/* ---- its row ---- */

/* It answers 500 with these where the request is at fault (Debian's 0.7.0). */
static const char *const llama_template_faults[] = {"While executing",
                                                    "Failed to parse tool call arguments", NULL};
static const char *const llama_request_faults[] = {
    "Failed to parse messages",
    "Failed to parse tool call arguments",
    "Failed to parse tools",
    "image input is not supported",
    "audio input is not",
    "vector::_M_range_check",
    "input (",
    "Failed to load image",
    "[json.exception",
    NULL,
};

/* Embedded by the build: the bytes, and their SHA-256 as text. */
extern const char engine_data_canary_gguf[], engine_data_canary_gguf_end[];
extern const char engine_data_canary_gguf_sha256[];
extern const char engine_data_canary_tsv[], engine_data_canary_tsv_end[];
extern const char engine_data_seeded_tsv[], engine_data_seeded_tsv_end[];
extern const char engine_data_seeded_tsv_sha256[];

static const struct engine_canary llama_canary = {
    .suffix = "gguf",
    .bytes = engine_data_canary_gguf,
    .end = engine_data_canary_gguf_end,
    .sha256 = engine_data_canary_gguf_sha256,
    .context = 4096,
    .table = engine_data_canary_tsv,
    .table_end = engine_data_canary_tsv_end,
    .covers = {.types = "Q4_K Q5_K Q6_K Q8_0 F16", .shapes = "dense", .lengths = "7 11"},
    .seeded = engine_data_seeded_tsv,
    .seeded_end = engine_data_seeded_tsv_end,
    .seeded_sha256 = engine_data_seeded_tsv_sha256,
};

const struct engine_kind engine_kind_llama = {
    .name = "llamacpp",
    .add_arguments = llama_add_arguments,
    .variables = llama_variables,
    .plain_variables = llama_plain_variables,
    .key_variable = "LLAMA_API_KEY",
    .list_argument = "--list-devices",
    .add_worker_arguments = llama_add_worker_arguments,
    .read_protocol = llama_read_protocol,
    .device_argument = "--device",
    .layers_argument = LLAMA_LAYERS,
    .no_device = "none",
    .attention_arguments = llama_attention_arguments,
    .knobs = llama_knobs,
    .own_arguments = llama_own_arguments,
    .own_variables = llama_own_variables,
    .free_variables = llama_free_variables,
    .name_argument = "--alias",
    .slots_argument = "--slot-save-path",
    .slot_path = llama_slot_path,
    .slot_request = llama_slot_request,
    .read_slots = llama_read_slots,
    .ready_path = "/health",
    .alive_path = "/slots",
    .device_prefix =
        {[PLAN_ROCM] = "ROCm", [PLAN_VULKAN] = "Vulkan", [PLAN_VULKAN_SOFTWARE] = "Vulkan"},
    .read_devices = llama_read_devices,
    .read_placement = llama_read_placement,
    .cut_stamp = llama_cut_stamp,
    .path =
        {
            [ENGINE_CALL_CHAT] = "/v1/chat/completions",
            [ENGINE_CALL_COMPLETIONS] = "/v1/completions",
            [ENGINE_CALL_EMBEDDINGS] = "/v1/embeddings",
            [ENGINE_CALL_RERANK] = "/v1/rerank",
            [ENGINE_CALL_COUNT_TOKENS] = "/v1/chat/completions/input_tokens",
            [ENGINE_CALL_TOKENIZE] = "/tokenize",
            [ENGINE_CALL_DETOKENIZE] = "/detokenize",
            [ENGINE_CALL_TEMPLATE] = "/apply-template",
            [ENGINE_CALL_INFILL] = "/infill",
            [ENGINE_CALL_COMPLETION] = "/completion",
            [ENGINE_CALL_TRANSCRIPTIONS] = "/v1/audio/transcriptions",
        },
    .chat_request = llama_chat_request,
    .read_chunk = llama_read_chunk,
    .read_refusal = llama_read_refusal,
    .read_excess = llama_read_excess,
    .tokens_request = llama_tokens_request,
    .read_answer = llama_read_answer,
    .steps_request = llama_steps_request,
    .read_steps = llama_read_steps,
    .request_faults = llama_request_faults,
    .template_faults = llama_template_faults,
    .figures = &llama_figures,
    .words_request = "{\"content\":\"Count these words and say them once again.\"}",
    .read_ids = llama_read_ids,
    .timed_request = llama_timed_request,
    .read_timings = llama_read_timings,
    .canary = &llama_canary,
};

/* prove.c - prove a choice: device list, canary answers, speed. */
#include "engine/engine_private.h"

#include <errno.h>
#include <stdio.h>

#define PROVE_CANDIDATES_MAX 8
#define PROVE_ARGS_MAX       64
#define PROVE_SHARE          0.5 /* of the canary's weights: all its layers are on the GPU */
#define PROVE_SPEED_TRIES    3
#define PROVE_TOKENS_MAX     256
#define PROVE_TEXT_MAX       16384
/* Of the token that was chosen. A backend that computes right gives far more: the model is trained
 * until its answers are certain. One that comes out right by luck does not. */
#define PROVE_PROBABILITY 0.5
#define PROVE_FLOOR_SHARE 0.02
/* Times what its first token took that a whole answer may take, at least. */
#define PROVE_WHOLE_FIRSTS 20
#define VENDOR_NVIDIA      0x10de

/* An attempt to prove a choice. Functions of it are always given an err to fill. */
struct prove {
    const struct engine_kind *kind;
    const struct engine_trial *trial;
    struct engine_spec spec;           /* the trial's, with what the choice adds */
    const char *args[PROVE_ARGS_MAX];  /* the choice's, but for the number of a model's layers */
    struct engine_deadlines deadlines; /* complete */
    struct engine_proof proof;         /* being filled in */
    struct engine *engine;             /* running; NULL none */
    struct engine_placement placement;
    struct engine_remote remote[FIT_NODES_MOST]; /* the trial's, with equal parts of the canary */
};

/* One rung's outcome in words. */
__attribute__((format(printf, 4, 5))) static void
prove_set_rung(struct prove *p, enum plan_rung rung, enum tri ok, const char *format, ...)
{
    struct engine_rung *r = &p->proof.rung[rung - PLAN_E3];
    char *detail = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&detail, format, args) < 0)
        xalloc_die();
    va_end(args);
    free(r->detail);
    r->detail = detail;
    r->ok = ok;
}

double engine_floor(double cpu_tokens_per_second)
{
    return cpu_tokens_per_second > 0.0 ? cpu_tokens_per_second * PROVE_FLOOR_SHARE : 0.0;
}

/* An answer while it comes: the first wrong byte ends it. */
struct prove_watch {
    const struct canary_proof *wanted;
    struct buf got;
    int64_t until; /* ms: when one that is right so far becomes too slow */
    int code;      /* GFXB_E_: why it was ended; 0 it was not */
};

static int prove_on_text(void *context, struct str piece, bool thinking)
{
    struct prove_watch *w = context;
    if (thinking)
        return 0;
    buf_add_str(&w->got, piece);
    if (!str_starts(w->wanted->answer, buf_view(&w->got)))
        w->code = GFXB_E_CANARY_MISMATCH;
    else if (clock_now_ms() > w->until)
        w->code = GFXB_E_TOO_SLOW;
    return w->code ? -ECANCELED : 0;
}

static int prove_judge(const struct prove_watch *w, double probability, struct gfxb_error *err)
{
    struct str got = buf_view(&w->got), prompt = w->wanted->prompt;
    if (w->code == GFXB_E_TOO_SLOW)
        return error_set(err, w->code,
                         "it is far too slow: %zu of %zu bytes of the canary's answer to '%.*s'",
                         got.n, w->wanted->answer.n, STR_ARG(prompt));
    if (!str_eq(got, w->wanted->answer)) {
        char where[200];
        canary_difference(got, w->wanted->answer, where, sizeof(where));
        return error_set(err, GFXB_E_CANARY_MISMATCH,
                         "it computes wrongly: the canary's answer to '%.*s' differs %s",
                         STR_ARG(prompt), where);
    }
    if (probability >= 0.0 && probability < PROVE_PROBABILITY)
        return error_set(err, GFXB_E_CANARY_MISMATCH,
                         "it computes inexactly: a token of the canary's answer to '%.*s' had "
                         "only a probability of %.2f",
                         STR_ARG(prompt), probability);
    return 0;
}

static void prove_note_reply(struct prove *p, const struct engine_reply *reply, double *least)
{
    if (p->proof.first_token_ms <= 0.0)
        p->proof.first_token_ms = reply->first_token_ms;
    if (reply->tokens_per_second > p->proof.tokens_per_second)
        p->proof.tokens_per_second =
            reply->tokens_per_second; /* the first ones are still warming up */
    if (reply->least_probability >= 0.0 && reply->least_probability < *least)
        *least = reply->least_probability;
}

static int prove_ask(struct prove *p, const struct canary_proof *wanted, double *least,
                     struct gfxb_error *err)
{
    struct engine_reply reply = {.least_probability = -1.0};
    int64_t patience = p->deadlines.first + p->deadlines.whole +
                       (int64_t)(PROVE_WHOLE_FIRSTS * p->proof.first_token_ms);
    struct prove_watch watch = {
        .wanted = wanted, .got = BUF_INIT(PROVE_TEXT_MAX), .until = clock_now_ms() + patience};
    char *CLEAN_FREE prompt = xstr_dup(wanted->prompt);
    struct engine_chat chat = {
        .prompt = prompt,
        .max_tokens = PROVE_TOKENS_MAX,
        .fixed = true,
        .probabilities = true,
        .first_ms = p->deadlines.first,
        .gap_ms = p->deadlines.gap,
        .max_text = PROVE_TEXT_MAX,
        .on_text = prove_on_text,
        .context = &watch,
        .cancel = p->spec.cancel,
        .log = p->spec.log,
    };
    int code = engine_chat(p->engine, &chat, &reply, err);
    if (code == 0)
        prove_note_reply(p, &reply, least);
    if (code == -EPROTO || code == -EREMOTEIO || code == -EFBIG) {
        error_prefix(err, "instead of the canary's answer to '%s': ", prompt);
        err->code = GFXB_E_CANARY_MISMATCH;
        code = -GFXB_E_CANARY_MISMATCH;
    } else if (code == 0 || watch.code) {
        code = prove_judge(&watch, reply.least_probability, err);
    }
    buf_done(&watch.got);
    engine_reply_done(&reply);
    return code;
}

static bool prove_has_floor(const struct prove *p)
{
    return (p->spec.backend == PLAN_ROCM || p->spec.backend == PLAN_VULKAN) &&
           p->trial->floor > 0.0;
}

static int prove_speed(struct prove *p, struct gfxb_error *err)
{
    double rate = p->proof.tokens_per_second, floor = p->trial->floor;
    bool gpu = p->spec.backend == PLAN_ROCM || p->spec.backend == PLAN_VULKAN;
    if (rate <= 0.0) {
        prove_set_rung(p, PLAN_E5, TRI_UNKNOWN, "the engine tells no speed");
        return 0;
    }
    if (!prove_has_floor(p)) {
        prove_set_rung(p, PLAN_E5, gpu ? TRI_UNKNOWN : TRI_YES, "%.0f tokens/s on the canary%s",
                       rate, gpu ? "; the CPU's figure is not known yet" : "");
        return 0;
    }
    prove_set_rung(p, PLAN_E5, rate >= floor ? TRI_YES : TRI_NO,
                   "%.0f tokens/s on the canary, at least %.0f are asked", rate, floor);
    if (rate < floor)
        return error_set(err, GFXB_E_TOO_SLOW,
                         "it is far too slow: %.0f tokens/s on the canary, %.0f would be the least "
                         "beside this CPU",
                         rate, floor);
    return 0;
}

/* least: of all probabilities, at most what it was. */
static int prove_ask_all(struct prove *p, const struct canary_proof *wanted, size_t n,
                         double *least, struct gfxb_error *err)
{
    int code = 0;
    for (size_t i = 0; i < n && code == 0; i++)
        code = prove_ask(p, &wanted[i], least, err);
    return code;
}

/* The canary's answers alone, of a GPU or a worker that will be one of several. */
static int prove_member(struct prove *p, struct gfxb_error *err)
{
    struct canary_proof wanted[CANARY_PROOFS_MAX];
    double least = 1.0;
    size_t n = 0;
    int code = canary_proofs(p->kind->canary, wanted, &n, err);
    if (code == 0)
        code = prove_ask_all(p, wanted, n, &least, err);
    p->proof.first_token_ms = p->proof.tokens_per_second = 0.0; /* what counts is all together */
    return code;
}

/* Ask the canary: answers to the byte, probabilities, speed (rungs E4 and E5). 0, or -code. */
static int prove_canary(struct prove *p, struct gfxb_error *err)
{
    struct canary_proof wanted[CANARY_PROOFS_MAX];
    double least = 1.0;
    size_t n = 0;
    int code = canary_proofs(p->kind->canary, wanted, &n, err);
    if (code == 0)
        code = prove_ask_all(p, wanted, n, &least, err);
    /* Slow may be other work on this computer: a failure is stored, so look more than once. */
    for (int i = 0; i < PROVE_SPEED_TRIES && code == 0 && prove_has_floor(p) &&
                    p->proof.tokens_per_second < p->trial->floor;
         i++)
        code = prove_ask(p, &wanted[0], &least, err);
    if (code < 0) {
        prove_set_rung(p, code == -GFXB_E_TOO_SLOW ? PLAN_E5 : PLAN_E4, TRI_NO, "%s", err->text);
        return code;
    }
    char placement[256];
    struct buf CLEAN_BUF blas = BUF_INIT(2048);
    p->proof.covers = p->kind->canary->covers;
    evidence_blas(p->engine, &blas);
    engine_placement_text(&p->placement, placement, sizeof(placement));
    prove_set_rung(p, PLAN_E4, TRI_YES,
                   "%zu canary answers equal to the byte (least probability %.2f), %.1f MiB of "
                   "weights on %s%s%s",
                   n, least,
                   placement_device_share(&p->placement) > 0.0
                       ? p->placement.gpu_mib + p->placement.remote_mib
                       : p->placement.cpu_mib,
                   placement, blas.n ? ", BLAS from " : "", buf_text(&blas));
    return prove_speed(p, err);
}

/* ms. ROCm reads a gigabyte of code objects at its first start; a graphics driver compiles shaders,
 * and lavapipe does that with LLVM: 12 s on two idle cores, many times that when other processes
 * want them. */
static const struct engine_deadlines prove_deadlines[PLAN_BACKENDS] = {
    [PLAN_ROCM] = {.list = 30000, .ready = 90000, .first = 60000, .gap = 20000, .whole = 90000},
    [PLAN_VULKAN] = {.list = 20000, .ready = 90000, .first = 60000, .gap = 20000, .whole = 90000},
    [PLAN_CPU] = {.list = 10000, .ready = 60000, .first = 30000, .gap = 20000, .whole = 90000},
    [PLAN_VULKAN_SOFTWARE] =
        {.list = 30000, .ready = 240000, .first = 240000, .gap = 60000, .whole = 400000},
};

/* Vulkan drivers that compute on the CPU, by what their device names hold. */
static const char *const prove_software[] = {"llvmpipe", "lavapipe", "SwiftShader"};

static void prove_take_deadlines(struct prove *p)
{
    const struct engine_deadlines *own = &prove_deadlines[p->spec.backend];
    const struct engine_deadlines *given = &p->trial->deadlines;
    p->deadlines = (struct engine_deadlines){
        .list = given->list > 0 ? given->list : own->list,
        .ready = given->ready > 0 ? given->ready : own->ready,
        .first = given->first > 0 ? given->first : own->first,
        .gap = given->gap > 0 ? given->gap : own->gap,
        .whole = given->whole > 0 ? given->whole : own->whole,
    };
}

static bool prove_is_software(const struct engine_device *device)
{
    for (size_t i = 0; i < sizeof(prove_software) / sizeof(prove_software[0]); i++) {
        if (str_has_nocase(str_from(device->description), str_from(prove_software[i])))
            return true;
    }
    return false;
}

/* List once more, with what the Vulkan loader has to say of the driver of this choice's GPU; 0:
 * nothing. */
static int prove_ask_loader(const struct prove *p, struct gfxb_error *err)
{
    const struct machine_gpu *gpu = p->trial->choice->gpu;
    struct engine_words env = {.n = 0};
    struct engine_spec spec = p->spec;
    struct engine_devices devices = {.n = 0};
    struct root *root;
    int code = root_new(NULL, &root, err);
    if (code < 0)
        return code;
    for (size_t i = 0; spec.env && spec.env[i]; i++)
        engine_words_add(&env, "%s", spec.env[i]);
    engine_words_add(&env, "VK_LOADER_DEBUG=error");
    spec.env = (const char *const *)env.word;
    code = engine_list_devices(&spec, p->deadlines.list, &devices, err);
    if (code == 0)
        code = loader_explain(root, str_from(devices.said), gpu ? gpu->vendor : 0, err);
    engine_devices_done(&devices);
    engine_words_done(&env);
    root_free(root);
    return code;
}

/* Nothing of this backend is listed: what the engine said tells why, mostly. */
static int prove_none_listed(const struct prove *p, const struct engine_devices *devices,
                             struct gfxb_error *err)
{
    struct engine_cause cause;
    const struct machine_gpu *gpu = p->trial->choice->gpu;
    const char *name = plan_backend_name(p->spec.backend);
    int code = p->spec.backend == PLAN_ROCM ? 0 : prove_ask_loader(p, err);
    if (code < 0) {
        error_prefix(err, "the engine lists no %s device: ", name);
        return code;
    }
    if (diagnose_cause(str_from(devices->said), &cause))
        return error_set(err, cause.code, "the engine lists no %s device: %.*s%s%.*s", name,
                         STR_ARG(cause.text), cause.remedy.n ? "; " : "", STR_ARG(cause.remedy));
    if (p->spec.backend != PLAN_ROCM)
        return error_set(
            err, GFXB_E_VULKAN_DRIVER_MISSING,
            "the engine lists no %s device: no Vulkan driver offers it one; is %s "
            "installed, and may this user open %s?",
            name,
            gpu && gpu->vendor == VENDOR_NVIDIA ? "NVIDIA's driver with its graphics libraries"
                                                : "the driver's package (mesa-vulkan-drivers)",
            gpu && gpu->vendor == VENDOR_NVIDIA ? "/dev/nvidia*" : "/dev/dri/renderD*");
    return error_set(err, GFXB_E_DEVICE_NOT_LISTED,
                     "the engine lists no %s device and does not say why: its driver finds no GPU, "
                     "or a library that its %s plugin needs is missing",
                     name, name);
}

/* Keep the devices of this backend: *devices shrinks to them. */
static int prove_choose_devices(const struct prove *p, struct engine_devices *devices,
                                struct gfxb_error *err)
{
    const char *prefix = p->kind->device_prefix[p->spec.backend];
    bool software = p->spec.backend == PLAN_VULKAN_SOFTWARE;
    size_t n = 0, of_backend = 0;
    for (size_t i = 0; i < devices->n; i++) {
        if (!str_starts(str_from(devices->item[i].name), str_from(prefix)))
            continue;
        of_backend++;
        if (prove_is_software(&devices->item[i]) == software)
            devices->item[n++] = devices->item[i];
    }
    devices->n = n;
    if (n)
        return 0;
    if (of_backend == 0)
        return prove_none_listed(p, devices, err);
    if (software)
        return error_set(err, GFXB_E_DEVICE_NOT_LISTED,
                         "the engine lists Vulkan devices, but none of them is a software one");
    return error_set(err, GFXB_E_VULKAN_SOFTWARE_ONLY,
                     "the only Vulkan device is a software one, which computes on the CPU");
}

/* E3. ret_devices is owned by the caller. */
static int prove_list(struct prove *p, struct engine_devices *ret_devices, struct gfxb_error *err)
{
    struct engine_devices devices = {.n = 0};
    int code = engine_list_devices(&p->spec, p->deadlines.list, &devices, err);
    if (code == 0)
        code = prove_choose_devices(p, &devices, err);
    if (code < 0) {
        engine_devices_done(&devices);
        prove_set_rung(p, PLAN_E3, TRI_NO, "%s", err->text);
        return code;
    }
    struct buf CLEAN_BUF text = BUF_INIT(65536);
    for (size_t i = 0; i < devices.n; i++)
        buf_addf(&text, "%s%s: %s (%llu MiB, %llu free)", i ? "; " : "", devices.item[i].name,
                 devices.item[i].description, (unsigned long long)devices.item[i].total_mib,
                 (unsigned long long)devices.item[i].free_mib);
    prove_set_rung(p, PLAN_E3, TRI_YES, "%s", buf_text(&text));
    *ret_devices = devices;
    return 0;
}

/* The memory of the one device that was chosen, as the engine lists it. */
static void prove_note_memory(struct prove *p, const struct engine_devices *devices)
{
    for (size_t i = 0; p->trial->choice->gpu && i < devices->n; i++) {
        if (strcmp(devices->item[i].name, p->proof.device) != 0 ||
            devices->item[i].total_mib > UINT64_MAX >> 20)
            continue;
        p->proof.device_bytes = devices->item[i].total_mib << 20;
        p->proof.gpu_bytes = p->trial->choice->gpu_bytes;
    }
}

static void prove_keep_log(struct prove *p, const struct buf *tail)
{
    free(p->proof.log_tail);
    p->proof.log_tail = xstrdup(buf_text(tail));
}

static void prove_end_engine(struct prove *p)
{
    struct buf CLEAN_BUF tail = BUF_INIT(INSTANCE_LOG_TAIL + 1);
    if (!p->engine)
        return;
    engine_log_tail(p->engine, INSTANCE_LOG_TAIL, &tail);
    prove_keep_log(p, &tail);
    engine_stop(p->engine);
    p->engine = NULL;
}

/* All of the canary's layers are on the GPU, not only a crumb. */
static int prove_share(const struct prove *p, struct gfxb_error *err)
{
    const struct engine_placement *placement = &p->placement;
    if ((p->spec.backend == PLAN_CPU && !p->spec.n_remotes) ||
        placement_device_share(placement) >= PROVE_SHARE)
        return 0;
    return error_set(
        err, GFXB_E_NOT_ON_DEVICE,
        "only %.2f of %.2f MiB of the canary's weights are on %s: the CPU does most of "
        "the work",
        placement->gpu_mib + placement->remote_mib,
        placement->gpu_mib + placement->remote_mib + placement->cpu_mib,
        p->spec.n_remotes ? "other devices" : "the GPU");
}

/* Start on this device and see where the weights are. On failure nothing runs. */
static int prove_start(struct prove *p, const char *device, struct gfxb_error *err)
{
    struct buf CLEAN_BUF tail = BUF_INIT(INSTANCE_LOG_TAIL + 1);
    p->spec.device = device;
    int code = instance_start(&p->spec, &p->engine, &tail, err);
    if (code < 0) {
        prove_keep_log(p, &tail);
        return code;
    }
    code = engine_verify(p->engine, &p->placement, err);
    if (code == 0)
        code = prove_share(p, err);
    if (code < 0)
        prove_end_engine(p);
    return code;
}

static size_t prove_wanted(const struct prove *p)
{
    size_t n = 0;
    while (p->spec.gpu_pci && p->spec.gpu_pci[n])
        n++;
    return n && p->spec.gpu_pci[0][0] ? n : 0;
}

/* Which wanted card did this start use? -1 none or not told. */
static int prove_card(const struct prove *p, const char *const *wanted, size_t n)
{
    for (size_t i = 0; i < p->placement.n; i++) {
        const struct engine_share *share = &p->placement.item[i];
        for (size_t k = 0; k < n && share->gpu && share->model_mib > 0.0; k++) {
            if (strcmp(share->pci, wanted[k]) == 0)
                return (int)k;
        }
    }
    return -1;
}

/* One card is wanted and several devices are listed, whose list tells no addresses: each is started
 * alone, in its own child, until one is the card. A device that fails is passed over: it may be the
 * one that must not be used. */
static int prove_find_card(struct prove *p, const struct engine_devices *devices,
                           struct gfxb_error *err)
{
    struct gfxb_error first = {.code = 0}, why = {.code = 0};
    const char *const *wanted = p->spec.gpu_pci;
    for (size_t i = 0; i < devices->n && i < PROVE_CANDIDATES_MAX; i++) {
        int code = prove_start(p, devices->item[i].name, &why);
        if (code == 0 && (devices->n == 1 || prove_card(p, wanted, 1) == 0))
            return 0;
        if (code == 0) {
            prove_end_engine(p);
            error_set(&why, GFXB_E_NOT_ON_DEVICE,
                      "the driver does not tell which of the %zu devices is the GPU at %s",
                      devices->n, wanted[0]);
        }
        if (code == -GFXB_E_INTERRUPTED)
            return error_set(err, why.code, "%s", why.text);
        /* What another card did wrong is less interesting than what this one did. */
        if (first.code == 0 || first.code == GFXB_E_NOT_ON_DEVICE)
            first = why;
    }
    return error_set(err, first.code, "%s", first.text);
}

/* Several cards are wanted: each is started and answers alone, then all of them together. */
static int prove_find_set(struct prove *p, const struct engine_devices *devices, size_t n,
                          char *set, size_t size, struct gfxb_error *err)
{
    const char *const *wanted = p->spec.gpu_pci;
    struct buf CLEAN_BUF names = BUF_INIT(4096);
    struct gfxb_error why = {.code = 0};
    size_t found = 0;
    for (size_t i = 0; i < devices->n && found < n; i++) {
        p->spec.gpu_pci = NULL; /* alone, it cannot be on all of them */
        int code = prove_start(p, devices->item[i].name, &why);
        p->spec.gpu_pci = wanted;
        int card = code == 0 ? prove_card(p, wanted, n) : -1;
        bool member = card >= 0;
        if (member)
            code = prove_member(p, &why);
        prove_end_engine(p);
        if (code == -GFXB_E_INTERRUPTED)
            return error_set(err, why.code, "%s", why.text);
        if (member && code < 0)
            return error_set(err, why.code, "the GPU at %s fails alone already: %s", wanted[card],
                             why.text);
        if (member)
            buf_addf(&names, "%s%s", found++ ? "," : "", devices->item[i].name);
    }
    if (found < n)
        return error_set(err, why.code ? why.code : GFXB_E_NOT_ON_DEVICE,
                         "only %zu of %zu GPUs could be found and started alone%s%s", found, n,
                         why.code ? ": " : "", why.text);
    snprintf(set, size, "%s", buf_text(&names));
    return prove_start(p, set, err);
}

/* The device of this computer was found and started alone: each worker answers with it alone, then
 * all together. */
static int prove_remotes(struct prove *p, struct gfxb_error *err)
{
    size_t n = p->trial->spec.n_remotes;
    char *CLEAN_FREE device = xstrdup(engine_device(p->engine));
    int code = 0;
    prove_end_engine(p);
    p->spec.n_remotes = 1;
    for (size_t i = 0; code == 0 && n > 1 && i < n; i++) {
        p->spec.remote = &p->remote[i];
        code = prove_start(p, device, err) ?: prove_member(p, err);
        prove_end_engine(p);
        if (code < 0)
            error_prefix(err, "%s fails alone already: ", p->remote[i].name);
    }
    p->spec.remote = p->remote;
    p->spec.n_remotes = n;
    code = code ?: prove_start(p, device, err);
    p->spec.device = NULL; /* lent by what ends here */
    return code;
}

/* Beyond the canary, whose engine is ended for them: seeded canaries, in prompts of every length
 * at which engines change kernels. */
static int prove_cover(struct prove *p, struct gfxb_error *err)
{
    struct gfxb_error why = {.code = 0};
    struct engine_spec spec = p->spec;
    struct engine_covers *covers = &p->proof.covers;
    struct cover_wish wish = {.deadline_ms = p->deadlines.whole, .all = p->trial->thorough};
    spec.device = p->proof.device;
    prove_end_engine(p);
    if (wish.all)
        log_at(spec.log, LOG_INFO,
               "testing every tensor type and shape; a GPU's driver compiles shaders for each the "
               "first time");
    int code = cover_ask(&spec, &wish, covers, &why);
    if (code < 0) {
        prove_set_rung(p, PLAN_E4, TRI_NO, "%s", why.text);
        return error_set(err, why.code, "%s", why.text);
    }
    char *CLEAN_FREE before = xstrdup(p->proof.rung[PLAN_E4 - PLAN_E3].detail);
    prove_set_rung(p, PLAN_E4, TRI_YES,
                   "%s; seeded canaries: prompts of %s tokens, %llu at once; tensor types %s; "
                   "shapes %s%s%s",
                   before, covers->lengths, (unsigned long long)covers->sequences, covers->types,
                   covers->shapes, covers->fails[0] ? "; failed: " : "", covers->fails);
    return 0;
}

static int prove_climb(struct prove *p, struct gfxb_error *err)
{
    struct engine_devices devices = {.n = 0};
    char set[sizeof(p->proof.device)];
    int code = 0;
    snprintf(set, sizeof(set), "%s", p->kind->no_device);
    if (p->spec.backend == PLAN_CPU)
        prove_set_rung(p, PLAN_E3, TRI_YES, "the CPU is always there");
    else
        code = prove_list(p, &devices, err);
    if (code < 0)
        return code;
    size_t wanted = prove_wanted(p);
    if (p->spec.backend == PLAN_CPU)
        code = prove_start(p, set, err);
    else if (wanted > 1)
        code = prove_find_set(p, &devices, wanted, set, sizeof(set), err);
    else if (wanted == 1)
        code = prove_find_card(p, &devices, err);
    else
        code = prove_start(p, devices.item[0].name, err);
    if (code == 0 && p->trial->spec.n_remotes)
        code = prove_remotes(p, err);
    if (code == 0) {
        snprintf(p->proof.device, sizeof(p->proof.device), "%s", engine_device(p->engine));
        engine_placement_text(&p->placement, p->proof.shown, sizeof(p->proof.shown));
        prove_note_memory(p, &devices);
        p->proof.load_ms = engine_load_ms(p->engine);
        code = prove_canary(p, err);
        if (code == 0 && !p->trial->speed_only && p->spec.backend != PLAN_VULKAN_SOFTWARE)
            code = prove_cover(p, err);
    } else {
        prove_set_rung(p, PLAN_E4, TRI_NO, "%s", err->text);
    }
    p->spec.device = NULL; /* lent by what ends here */
    engine_devices_done(&devices);
    return code;
}

/* Failures that say nothing about the choice: the file system, memory, an interruption. */
static bool prove_is_ours(int code)
{
    return (code != GFXB_E_OK && code < GFXB_E_GFX_UNKNOWN) || code == GFXB_E_INTERRUPTED ||
           code == GFXB_E_TABLE || code == GFXB_E_DISK_FULL;
}

/* The trial with what the choice says, but for how many layers of the user's model are on the GPU:
 * all of a canary are. -GFXB_E_NO_PACKAGE: not an engine of ours. */
static int prove_init(struct prove *p, const struct engine_trial *trial, struct gfxb_error *err)
{
    size_t n = 0;
    *p = (struct prove){.kind = engine_kind_of(trial->spec.package->engine, err),
                        .trial = trial,
                        .spec = trial->spec};
    if (!p->kind)
        return -GFXB_E_NO_PACKAGE;
    engine_spec_choose(&p->spec, trial->choice);
    for (size_t i = 0; i < trial->spec.n_remotes && i < FIT_NODES_MOST; i++) {
        p->remote[i] = trial->spec.remote[i];
        p->remote[i].layers = 0;
    }
    p->spec.n_remotes = p->spec.layers = 0; /* of a canary each gets an equal part, later */
    for (const char *const *arg = p->spec.args; *arg && n + 1 < PROVE_ARGS_MAX; arg++) {
        if (strcmp(*arg, p->kind->layers_argument) == 0 && arg[1])
            arg++;
        else
            p->args[n++] = *arg;
    }
    p->spec.args = p->args;
    prove_take_deadlines(p);
    p->spec.ready_ms = p->deadlines.ready;
    return 0;
}

int engine_prove(const struct engine_trial *trial, struct engine_proof *ret_proof,
                 struct gfxb_error *err)
{
    struct prove p;
    struct gfxb_error why = {.code = 0};
    char *CLEAN_FREE model = NULL;
    int code = prove_init(&p, trial, err);
    if (code == 0)
        code = engine_canary_path(p.kind, trial->data_dir, trial->spec.cancel, &model, err);
    if (code < 0)
        return code;
    for (size_t i = 0; i < ENGINE_RUNGS; i++) {
        p.proof.rung[i].rung = PLAN_E3 + (enum plan_rung)i;
        p.proof.rung[i].ok = TRI_UNKNOWN;
    }
    p.spec.model = model;
    code = prove_climb(&p, &why);
    p.proof.passed = code == 0;
    p.proof.code = code < 0 ? why.code : GFXB_E_OK;
    p.proof.sentence = xstrdup(code < 0 ? why.text : "");
    prove_end_engine(&p);
    if (prove_is_ours(p.proof.code)) {
        engine_proof_done(&p.proof);
        return error_set(err, why.code, "%s", why.text);
    }
    *ret_proof = p.proof;
    return 0;
}

int engine_prove_need(const struct engine_trial *trial, const char *device,
                      const struct engine_need *need, struct engine_covers *covers,
                      struct gfxb_error *err)
{
    struct prove p;
    struct str canary;
    int code = prove_init(&p, trial, err);
    if (code < 0)
        return code;
    struct cover_wish wish = {.deadline_ms = p.deadlines.whole, .need = need};
    p.spec.device = device;
    p.spec.remote = p.remote;
    p.spec.n_remotes = trial->spec.n_remotes;
    if (p.spec.backend != PLAN_VULKAN_SOFTWARE)
        code = cover_ask(&p.spec, &wish, covers, err);
    if (code == 0 && engine_covers_fail(p.kind, covers, need, &canary))
        code = error_set(err, GFXB_E_CANARY_MISMATCH,
                         "models of the kind %.*s, such as this one, fail on it: %s",
                         STR_ARG(canary), covers->why);
    return code;
}

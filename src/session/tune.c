/* tune.c - the fastest settings of the engine for a model on this computer: candidates, engines
 * that are measured, and what is stored. */
#include "base/xalloc.h"
#include "session/session_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    TUNE_CHOICES_MAX = 4,
    TUNE_FIRST_MS = 1800000, /* for the default: the largest models on a CPU */
    TUNE_LEAST_MS = 20000,
    TUNE_PATIENCE = 5, /* times what the default took, and a candidate is too slow */
    TUNE_COMPARE_MS = 600000,
    TUNE_REPORT_MS = 20000,
    TUNE_SLOTS = 16,        /* that a batch may use */
    TUNE_CONTEXT_MIN = 512, /* tokens, without which nothing can be measured */
    TUNE_JOURNAL_S = 86400, /* so old a journal counts for nothing */
    TUNE_READ = 8 << 20,
};

struct tune {
    const struct session_request *r;
    const struct session_tune *how;
    struct session *session;
    struct tune_search search;
    size_t choice[TUNE_CHOICES_MAX]; /* of the plan; the first one is the default */
    size_t n_choices;
    const struct engine_knob *knob[TUNE_KNOBS]; /* NULL: the choice */
    struct engine_words setting[TUNE_KNOBS];
    char *path;       /* of the journal */
    json_t *none;     /* owned: no settings */
    unsigned slots;   /* that are usual */
    json_t *journal;  /* owned */
    json_t *entries;  /* lent by it */
    size_t next;      /* entry that is played again, while there are any */
    bool unwritten;   /* the journal cannot be written: said once */
    int64_t spent_ms; /* of all entries */
    int64_t limit_ms[TUNE_LEVELS];
    struct engine_answers *answers; /* of the default */
    struct engine_comparison comparison;
    json_t *result;
};

/* ---- a point's settings ---- */

static const struct plan_choice *tune_choice(const struct tune *t, const struct tune_point *point)
{
    size_t i = t->search.first ? point->at[0] : 0;
    return &t->session->plan->choice[t->choice[i]];
}

/* A new array of texts. */
static json_t *tune_settings(const struct tune *t, const struct tune_point *point)
{
    json_t *list = json_array();
    for (size_t k = 0; k < t->search.n_knobs; k++) {
        if (t->knob[k] && point->at[k])
            json_array_append_new(list, json_string(t->setting[k].word[point->at[k] - 1]));
    }
    return list;
}

/* "cpu: -ub 256 -t 4", to be freed. */
static char *tune_words(const struct tune *t, const struct tune_point *point)
{
    struct buf CLEAN_BUF text = BUF_INIT(4096);
    json_t *list = tune_settings(t, point), *one;
    size_t i;
    buf_addf(&text, "%s:", plan_backend_name(tune_choice(t, point)->backend));
    json_array_foreach(list, i, one) buf_addf(&text, " %s", json_string_value(one));
    if (!json_array_size(list))
        buf_add_text(&text, " the engine's own settings");
    json_decref(list);
    return xstrdup(buf_text(&text));
}

/* Does the model's recipe give one of the knob's arguments? It would stand behind and win. */
static bool tune_is_given(const struct tune *t, const struct engine_knob *knob)
{
    for (char *const *arg = t->session->use->launch.args; *arg; arg++) {
        for (size_t i = 0; knob->names[i]; i++) {
            if (strcmp(*arg, knob->names[i]) == 0)
                return true;
        }
    }
    return false;
}

static void tune_add_knob(struct tune *t, const struct engine_knob *knob,
                          const struct engine_numbers *numbers)
{
    size_t k = t->search.n_knobs;
    unsigned backends = 0;
    for (size_t i = 0; i < t->n_choices; i++)
        backends |= 1u << t->session->plan->choice[t->choice[i]].backend;
    if (k == TUNE_KNOBS || (knob->backends && !(knob->backends & backends)) ||
        tune_is_given(t, knob))
        return;
    engine_knob_settings(knob, numbers, &t->setting[k]);
    if (t->setting[k].n == 0)
        return;
    t->knob[k] = knob;
    t->search.settings[k] = (unsigned char)t->setting[k].n;
    t->search.start[k] = knob->start;
    t->search.n_knobs++;
}

static void tune_make_space(struct tune *t)
{
    const struct plan_choice *c = &t->session->plan->choice[t->choice[0]];
    bool partial = c->backend != PLAN_CPU && c->gpu_layers && c->gpu_layers <= c->layers;
    t->slots = c->slots && c->slots < t->slots ? c->slots : t->slots;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct engine_numbers numbers = {
        .threads = c->backend == PLAN_CPU || partial ? engine_threads_for(t->session->model) : 0,
        .processors = processors > 0 ? (unsigned)processors : 1,
        .layers = partial ? (unsigned)c->layers : 0,
        .gpu_layers = partial ? (unsigned)c->gpu_layers : 0,
        .slots = t->how->work == TUNE_BATCH ? c->slots : 0,
        .usual_slots = t->slots,
        .experts = t->session->use->gguf.experts > 0};
    if (t->n_choices > 1) {
        t->search.first = true;
        t->search.settings[0] = (unsigned char)(t->n_choices - 1);
        t->search.n_knobs = 1;
    }
    for (const struct engine_knob *knob = session_kind(t->r)->knobs; knob->title; knob++)
        tune_add_knob(t, knob, &numbers);
}

/* ---- the journal: what was measured, for a search that is interrupted ---- */

/* What must be the same for its figures to count. */
static json_t *tune_head(const struct tune *t)
{
    const struct session *s = t->session;
    json_t *choices = json_array(), *settings = json_array();
    for (size_t i = 0; i < t->n_choices; i++)
        json_array_append_new(choices, json_string(s->plan->choice[t->choice[i]].fingerprint));
    for (size_t k = 0; k < t->search.n_knobs; k++) {
        for (size_t i = 0; i < t->setting[k].n; i++)
            json_array_append_new(settings, json_string(t->setting[k].word[i]));
    }
    return json_pack("{s:s, s:s, s:I, s:I, s:o, s:o}", "state", s->model_state, "for",
                     tune_for_name(t->how->work), "budget", (json_int_t)t->how->budget_ms,
                     "context", (json_int_t)s->context, "choices", choices, "settings", settings);
}

static void tune_open_journal(struct tune *t)
{
    struct stat st;
    t->path = tuned_path(t->r, "journal", ".part");
    json_t *head = tune_head(t), *old = NULL;
    if (stat(t->path, &st) == 0 && time(NULL) - st.st_mtime < TUNE_JOURNAL_S)
        old = tuned_read(t->path);
    /* One that is finished is there to be applied. */
    bool done = json_is_true(json_object_get(old, "done"));
    if (old && json_equal(json_object_get(old, "head"), head) && (!done || t->how->apply) &&
        json_is_array(json_object_get(old, "entries"))) {
        t->journal = json_incref(old);
        log_at(t->r->log, LOG_INFO, "%s",
               done ? "what was measured before is applied"
                    : "going on with what was measured before");
    } else {
        t->journal = json_pack("{s:O, s:[]}", "head", head, "entries");
    }
    t->entries = json_object_get(t->journal, "entries");
    json_decref(old);
    json_decref(head);
}

static void tune_write_journal(struct tune *t)
{
    struct gfxb_error err;
    if (t->unwritten || tuned_write(t->r, t->path, t->journal, &err) == 0)
        return;
    t->unwritten = true;
    log_at(t->r->log, LOG_WARNING, "an interrupted search cannot go on later: %s", err.text);
}

/* One more is done. The first of a level is the default. */
static void tune_spend(struct tune *t, enum tune_level level, int64_t ms)
{
    t->next++;
    t->spent_ms += ms;
    if (!t->limit_ms[level])
        t->limit_ms[level] = TUNE_LEAST_MS + TUNE_PATIENCE * ms;
}

/* The next entry, when it is of this point and level. Entries behind one that is not are dropped.
 */
static bool tune_play(struct tune *t, const char *words, enum tune_level level, int *ret_code,
                      double *ret_seconds)
{
    const char *own = "";
    json_int_t own_level = -1, ms = 0;
    double seconds = 0.0;
    int out = 0;
    if (t->next >= json_array_size(t->entries))
        return false;
    bool same =
        json_unpack(json_array_get(t->entries, t->next), "{s:s, s:I, s:b, s:F, s:I}", "point", &own,
                    "level", &own_level, "out", &out, "seconds", &seconds, "ms", &ms) == 0 &&
        strcmp(own, words) == 0 && own_level == (json_int_t)level && ms >= 0 &&
        (out || seconds > 0.0);
    if (!same) {
        while (json_array_size(t->entries) > t->next)
            json_array_remove(t->entries, t->next);
        return false;
    }
    tune_spend(t, level, ms);
    *ret_code = out;
    *ret_seconds = seconds;
    return true;
}

static void tune_note(struct tune *t, const char *words, enum tune_level level, int code,
                      double seconds, int64_t ms)
{
    json_array_append_new(t->entries, json_pack("{s:s, s:I, s:b, s:f, s:I}", "point", words,
                                                "level", (json_int_t)level, "out", code == 1,
                                                "seconds", seconds, "ms", (json_int_t)ms));
    tune_spend(t, level, ms);
    tune_write_journal(t);
}

/* ---- engines ---- */

static int tune_start(struct tune *t, const struct tune_point *point, struct gfxb_error *err)
{
    json_t *list = tune_settings(t, point);
    char slots[32];
    snprintf(slots, sizeof(slots), "slots=%u", t->slots);
    if (t->how->work == TUNE_BATCH) /* the setting, where there is one, stands behind it */
        json_array_insert_new(list, 0, json_string(slots));
    t->session->trial = list;
    int code = session_start_proven(
        t->r, t->session, (size_t)(tune_choice(t, point) - t->session->plan->choice), err);
    t->session->trial = t->none;
    json_decref(list);
    return code;
}

/* The model's only file, out of the page cache; false: something of it stays there. */
static bool tune_drop_file(const struct tune *t)
{
    struct stat st;
    int CLEAN_CLOSE fd = open(t->r->model, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size != t->session->use->gguf.bytes ||
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        return false;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (size_t)st.st_size;
    size_t pages = (size + page - 1) / page, n = 0;
    unsigned char *CLEAN_FREE in = xcalloc(pages, 1);
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    bool known = map != MAP_FAILED && mincore(map, size, in) == 0;
    if (map != MAP_FAILED)
        munmap(map, size);
    for (size_t i = 0; i < pages; i++)
        n += in[i] & 1;
    return known && n * 20 < pages;
}

/* ms of reading the file once, from where it is stored: no start is faster; 0 not known. */
static double tune_read_file(const struct tune *t)
{
    char *CLEAN_FREE bytes = xmalloc(TUNE_READ);
    int CLEAN_CLOSE fd = open(t->r->model, O_RDONLY | O_CLOEXEC);
    int64_t start = clock_now_ms();
    ssize_t n = -1;
    if (fd < 0 || !tune_drop_file(t))
        return 0.0;
    while (!(t->r->cancel && *t->r->cancel) && (n = read(fd, bytes, TUNE_READ)) > 0)
        ;
    return n == 0 ? (double)(clock_now_ms() - start) : 0.0;
}

/* How long it starts: from where the file is stored (0 not known), then with the file in memory. */
static int tune_load(struct tune *t, const struct tune_point *point, double *ret_cold_ms,
                     double *ret_warm_ms, struct gfxb_error *err)
{
    bool cold = tune_drop_file(t);
    int code = tune_start(t, point, err);
    *ret_cold_ms = cold && code == 0 ? t->session->load_ms : 0.0;
    session_stop_engine(t->session);
    code = code ?: tune_start(t, point, err);
    *ret_warm_ms = code == 0 ? t->session->load_ms : 0.0;
    return code;
}

/* Does it end the search, rather than rule out a candidate? */
static bool tune_ends(int code)
{
    return code < 0 && (session_is_ours(-code) || -code == GFXB_E_DISK_FULL);
}

static int tune_measure(void *context, const struct tune_point *point, enum tune_level level,
                        double *ret_seconds, struct gfxb_error *err)
{
    struct tune *t = context;
    char *CLEAN_FREE words = tune_words(t, point);
    int code = 0;
    double cold = 0.0, warm = 0.0;
    if (tune_play(t, words, level, &code, ret_seconds))
        return code;
    int64_t start = clock_now_ms(), limit = t->limit_ms[level] ? t->limit_ms[level] : TUNE_FIRST_MS;
    size_t n = json_array_size(t->entries);
    int64_t each = n ? t->spent_ms / (int64_t)n : 0, left = each * t->search.left;
    int64_t rest = t->how->budget_ms - t->spent_ms;
    if (left > rest && rest > 0)
        left = rest;
    t->how->progress(t->how->context, words,
                     left + t->spent_ms ? (double)t->spent_ms / (double)(left + t->spent_ms) : 0.0,
                     left);
    if (level == TUNE_START) {
        code = tune_load(t, point, &cold, &warm, err);
        *ret_seconds = (cold + warm) / 1000.0;
    } else {
        code = tune_start(t, point, err);
        code =
            code
                ?: engine_tune_measure(t->session->engine, t->how->work, level, t->session->context,
                                       limit, t->r->cancel, ret_seconds, err);
    }
    session_stop_engine(t->session);
    if (tune_ends(code))
        return code;
    if (code < 0)
        log_at(t->r->log, LOG_INFO, "%s: %s", words, err->text);
    tune_note(t, words, level, code < 0, code < 0 ? 1.0 : *ret_seconds, clock_now_ms() - start);
    return code < 0;
}

static int64_t tune_spent(void *context)
{
    const struct tune *t = context;
    return t->spent_ms;
}

/* ---- does it compute the same? ---- */

static int tune_ask(struct tune *t, const struct tune_point *point,
                    struct engine_answers **ret_answers, struct gfxb_error *err)
{
    struct engine_asking how = {.patience_ms = TUNE_COMPARE_MS, .cancel = t->r->cancel};
    int code = tune_start(t, point, err);
    code = code ?: engine_answers_new(t->session->engine, &how, ret_answers, err);
    session_stop_engine(t->session);
    return code;
}

/* The canary with these settings, to the byte; then the first tokens of this very model, beside
 * those of the default. */
static int tune_check(void *context, const struct tune_point *point, struct gfxb_error *err)
{
    static const struct tune_point none;
    struct tune *t = context;
    char *CLEAN_FREE words = tune_words(t, point);
    struct engine_answers *answers = NULL;
    json_t *list = tune_settings(t, point);
    int code = t->answers ? 0 : tune_ask(t, &none, &t->answers, err);
    if (code < 0 && !tune_ends(code))
        error_prefix(err, "the engine's own settings: ");
    if (code == 0) {
        code = session_prove_need(t->r, t->session, tune_choice(t, point), list, err)
                   ?: tune_ask(t, point, &answers, err)
                   ?: engine_answers_compare(t->answers, answers, "with the engine's own settings",
                                             &t->comparison, err);
        if (code < 0 && !tune_ends(code)) {
            log_at(t->r->log, LOG_WARNING, "%s is left out: %s", words, err->text);
            code = 1;
        }
    }
    engine_answers_free(answers);
    json_decref(list);
    return code;
}

/* ---- the result ---- */

static uint64_t tune_host_bytes(const struct engine *engine)
{
    struct buf CLEAN_BUF text = BUF_INIT(1 << 16);
    char *CLEAN_FREE path = xasprintf("/proc/%d/status", (int)engine_pid(engine));
    unsigned long long kib = 0;
    if (fs_read(path, 1 << 15, &text) == 0) {
        const char *at = strstr(buf_text(&text), "VmRSS:");
        if (at)
            sscanf(at + 6, "%llu", &kib);
    }
    return kib << 10;
}

static json_t *tune_number(double value)
{
    return value > 0.0 ? json_real(value) : json_null();
}

/* One engine in figures. */
static int tune_figures(struct tune *t, const struct tune_point *point, double read_ms,
                        json_t **ret_figures, struct gfxb_error *err)
{
    struct tune_depth depth[TUNE_DEPTHS];
    json_t *depths = json_array();
    double cold = 0.0, warm = 0.0;
    size_t n = 0;
    int code = tune_load(t, point, &cold, &warm, err);
    code = code
               ?: engine_tune_report(t->session->engine, t->session->context, TUNE_REPORT_MS,
                                     t->r->cancel, depth, &n, err);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            depths, json_pack("{s:i, s:o, s:o, s:o}", "prompt_tokens", (int)depth[i].prompt_tokens,
                              "prompt_per_second", tune_number(depth[i].prompt_per_second),
                              "tokens_per_second", tune_number(depth[i].tokens_per_second),
                              "first_token_ms", tune_number(depth[i].first_token_ms)));
    if (code == 0)
        *ret_figures = json_pack("{s:O, s:f, s:I, s:{s:o, s:o, s:o}}", "depths", depths, "gpu_mib",
                                 t->session->placement.gpu_mib, "host_bytes",
                                 (json_int_t)tune_host_bytes(t->session->engine), "start",
                                 "read_ms", tune_number(read_ms), "cold_ms", tune_number(cold),
                                 "warm_ms", tune_number(warm));
    session_stop_engine(t->session);
    json_decref(depths);
    return code;
}

static json_t *tune_result(const struct tune *t, const struct tune_outcome *o)
{
    const struct plan_choice *c = tune_choice(t, &o->best);
    struct tm parts;
    time_t now = time(NULL);
    char day[16] = "";
    if (localtime_r(&now, &parts))
        strftime(day, sizeof(day), "%Y-%m-%d", &parts);
    return json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:b}",
                     "file", t->r->model, "state", t->session->model_state, "day", day, "time",
                     (json_int_t)now, "for", tune_for_name(t->how->work), "fingerprint",
                     c->fingerprint, "backend", plan_backend_name(c->backend), "package",
                     c->package ? c->package : "", "preferred", t->n_choices > 1, "settings",
                     tune_settings(t, &o->best), "gain", tune_number(o->gain), "spread",
                     tune_number(o->spread), "start_gain", tune_number(o->start_gain), "better",
                     !tune_is_default(&o->best));
}

/* Store it in place of what was stored for the model on the choices that were compared; the default
 * is nothing to be stored. */
static int tune_store(struct tune *t, struct gfxb_error *err)
{
    unsigned n;
    const char *fingerprint = json_string_value(json_object_get(t->result, "fingerprint"));
    char *CLEAN_FREE path = json_is_true(json_object_get(t->result, "better"))
                                ? tuned_path(t->r, fingerprint, ".json")
                                : NULL;
    int code = path ? tuned_write(t->r, path, t->result, err) : 0;
    return code
               ?: tuned_remove_all(t->r,
                                   json_object_get(json_object_get(t->journal, "head"), "choices"),
                                   path, &n, err);
}

static void tune_add_check(struct tune *t)
{
    const struct engine_comparison *c = &t->comparison;
    json_object_set_new(t->result, "check",
                        json_pack("{s:i, s:i, s:f, s:f}", "prompts", (int)c->prompts, "differ",
                                  (int)c->differ, "greatest", c->greatest, "allowed", c->allowed));
}

static int tune_won(void *context, const struct tune_point *point, double gain, double spread,
                    struct gfxb_error *err)
{
    struct tune *t = context;
    struct tune_outcome o = {.best = *point, .gain = gain, .spread = spread};
    json_decref(t->result);
    t->result = tune_result(t, &o);
    tune_add_check(t);
    return t->how->apply ? tune_store(t, err) : 0;
}

/* ---- the whole of it ---- */

/* The default, and what else of the plan is proven. */
static int tune_find_choices(struct tune *t, struct gfxb_error *err)
{
    struct session *s = t->session;
    char *CLEAN_FREE best = xstrdup(s->running->fingerprint);
    for (size_t i = 0; i < s->plan->n_choices; i++) {
        struct engine_proof proof;
        if (!s->plan->choice[i].installed || s->plan->choice[i].state != PLAN_USABLE)
            continue;
        int code = session_prove(t->r, s, i, &proof, err);
        if (code < 0)
            return code;
        engine_proof_done(&proof);
    }
    int code = session_make_plan(t->r, s, err);
    for (size_t i = 0; i < s->plan->n_choices && code == 0; i++) {
        const struct plan_choice *c = &s->plan->choice[i];
        if (strcmp(c->fingerprint, best) == 0 && c->state == PLAN_PROVEN) {
            t->choice[0] = i;
            t->n_choices++;
        }
    }
    if (code == 0 && !t->n_choices)
        code = error_set(err, GFXB_E_NO_PACKAGE, "the package was removed meanwhile; try again");
    for (size_t i = 0; code == 0 && i < s->plan->n_choices && t->n_choices < TUNE_CHOICES_MAX;
         i++) {
        if (i != t->choice[0] && s->plan->choice[i].state == PLAN_PROVEN)
            t->choice[t->n_choices++] = i;
    }
    return code;
}

static int tune_prepare(struct tune *t, struct gfxb_error *err)
{
    int code = session_bring_up(t->r, NULL, t->session, err);
    if (code < 0)
        return code;
    const struct model_use *use = t->session->use;
    session_stop_engine(t->session);
    if (use->launch.task == MODEL_EMBEDDING || use->launch.task == MODEL_RERANKING)
        return error_set(err, GFXB_E_MODEL_UNUSABLE, "only models that write text can be tuned");
    if (t->session->context < TUNE_CONTEXT_MIN)
        return error_set(err, GFXB_E_MODEL_UNUSABLE,
                         "a context of %u tokens is too short to measure anything",
                         t->session->context);
    code = tune_find_choices(t, err);
    if (code == 0)
        tune_make_space(t);
    return code;
}

/* What it was, and what it is: measured once more, for people. */
static int tune_finish(struct tune *t, const struct tune_outcome *o, struct gfxb_error *err)
{
    static const struct tune_point none;
    json_t *before = NULL, *after = NULL;
    t->how->progress(t->how->context, "before and after", 1.0, 0);
    double read_ms = tune_read_file(t);
    int code = tune_figures(t, &none, read_ms, &before, err);
    if (code == 0 && !tune_is_default(&o->best))
        code = tune_figures(t, &o->best, read_ms, &after, err);
    json_t *result = tune_result(t, o);
    json_object_set(result, "check", json_object_get(t->result, "check"));
    json_decref(t->result);
    t->result = result;
    json_object_update_new(t->result, json_pack("{s:i, s:i, s:i, s:o*, s:o*}", "tried",
                                                (int)o->tried, "failed", (int)o->failed, "wrong",
                                                (int)o->wrong, "before", before, "after", after));
    if (code == 0 && t->how->apply)
        code = tune_store(t, err);
    if (code < 0)
        return code;
    json_object_set_new(t->journal, "done", json_true());
    if (t->how->apply)
        unlink(t->path);
    else
        tune_write_journal(t);
    return 0;
}

static void tune_done(struct tune *t)
{
    for (size_t k = 0; k < TUNE_KNOBS; k++)
        engine_words_done(&t->setting[k]);
    engine_answers_free(t->answers);
    json_decref(t->journal);
    t->session->trial = NULL;
    json_decref(t->none);
    free(t->path);
}

int session_tune(const struct session_request *request, const struct session_tune *how,
                 struct session *session, json_t **ret_result, struct gfxb_error *err)
{
    struct session_request r = *request;
    struct tune t = {.r = &r, .how = how, .session = session};
    struct tune_outcome outcome;
    int CLEAN_CLOSE lock = -1;
    char *CLEAN_FREE dir = xfs_join(r.data_dir, "tuned");
    char *CLEAN_FREE lock_path = xfs_join(dir, ".tune");
    *ret_result = NULL;
    if (!r.model)
        return error_set(err, GFXB_E_MODEL_UNUSABLE,
                         "the canary is too small to be tuned: name another model");
    t.none = json_array();
    t.slots = r.slots ? r.slots : 1;
    session->trial = t.none;
    r.slots = how->work == TUNE_BATCH ? TUNE_SLOTS : r.slots;
    int code = fs_make_dirs(dir, 0755, err) ?: fs_lock(lock_path, false, NULL, &lock, err);
    if (code == -EWOULDBLOCK)
        code = error_set(err, EBUSY,
                         "another gfxbridge tune runs here, and each would disturb the other: try "
                         "again when it is done");
    code = code ?: tune_prepare(&t, err);
    if (code < 0) {
        tune_done(&t);
        return code;
    }
    tune_open_journal(&t);
    t.search.budget_ms = how->budget_ms;
    t.search.context = &t;
    t.search.measure = tune_measure;
    t.search.check = tune_check;
    t.search.won = tune_won;
    t.search.spent_ms = tune_spent;
    code = engine_tune(&t.search, &outcome, err);
    code = code ?: tune_finish(&t, &outcome, err);
    session_stop_engine(session);
    *ret_result = t.result;
    tune_done(&t);
    return code;
}

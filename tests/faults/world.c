/* world.c - a captured machine with a data directory of its own, and what is to be left of it. */
#include "faults.h"
#include "http/http.h"
#include "session/session.h"
#include "sysroot/sysroot.h"

struct world world_new(const char *machine, int backend, uint64_t need_bytes)
{
    struct loop *loop = NULL;
    if (loop_new(&loop, NULL) == 0)
        loop_free(loop); /* libuv keeps two descriptors of the process's first loop */
    struct world w = {.descriptors = stage_count_in("/proc/self/fd", "")};
    struct gfxb_error err = {.text = ""};
    char path[512];
    snprintf(path, sizeof(path), "%s/tests/machines/%s.machine", stage_source(),
             machine ? machine : "rx7900xtx-raphael");
    if (gfx_tables_new(NULL, &w.tables, &err) < 0 || root_new(path, &w.root, &err) < 0 ||
        machine_new(w.root, w.tables, &w.machine, &err) < 0)
        fail_msg("%s", err.text);
    w.stage = stage_new();
    w.request = (struct session_request){
        .machine = w.machine,
        .tables = w.tables,
        .root = w.root,
        .request = {.backend = backend, .no_network = true, .need_bytes = need_bytes},
        .data_dir = w.stage.data,
        .runtime_dir = w.stage.run,
        .deadlines = stage_deadlines,
    };
    return w;
}

void world_done(struct world *w)
{
    assert_int_equal(stage_count_engines(&w->stage), 0);
    assert_int_equal(stage_count_in(w->stage.run, "engine-"), 0);
    stage_done(&w->stage);
    machine_free(w->machine);
    gfx_tables_free(w->tables);
    root_free(w->root);
    assert_int_equal(stage_count_in("/proc/self/fd", ""), w->descriptors);
}

void world_install(const struct world *w, const char *id, enum plan_backend backend,
                   const struct fault *f)
{
    char *CLEAN_FREE dir = stage_install(&w->stage, id, backend, f);
}

void world_prove(const struct world *w, enum plan_backend backend)
{
    struct session_request request = w->request;
    struct session session = {0};
    struct gfxb_error err = {.text = ""};
    request.request.backend = (int)backend;
    if (session_bring_up(&request, NULL, &session, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(session.running->backend, backend);
    session_done(&session);
}

enum plan_state world_state(const struct world *w, enum plan_backend backend)
{
    struct session session = {0};
    int state = -1;
    assert_int_equal(session_plan(&w->request, &session, NULL), 0);
    for (size_t i = 0; i < session.plan->n_choices && state < 0; i++) {
        const struct plan_choice *c = &session.plan->choice[i];
        bool there = backend == PLAN_CPU || (c->gpu_pci[0] && strcmp(c->gpu_pci[0], PCI) == 0);
        if (c->backend == backend && c->installed && there)
            state = (int)c->state;
    }
    session_done(&session);
    if (state < 0)
        fail_msg("the plan has no %s", plan_backend_name(backend));
    return (enum plan_state)state;
}

/* Models that go on being pulled when the client has left. */
#include "api/dialect_models.h"
#include "api/downloads.h"

#include "report/report.h"

static void pull_progress(void *context, const struct model_progress *p)
{
    download_tell(context, &(struct download_progress){.file = p->file,
                                                       .index = p->index,
                                                       .n = p->n,
                                                       .file_bytes = p->at.bytes,
                                                       .file_total = p->at.total,
                                                       .bytes = p->bytes,
                                                       .total = p->total});
}

static int pull_run(struct download *d, void *context, struct gfxb_error *err)
{
    struct model_env env = download_model_env(d);
    struct model model = {.name = NULL};
    env.progress = pull_progress;
    env.context = d;
    int result = engine_model_pull(&env, context, &model, err);
    if (result == 0)
        download_set_result(d, json_pack("{s:o}", "model_name", report_json_text(model.name)));
    model_done(&model);
    return result;
}

void downloads_start_pull(struct http_exchange *x, const char *name)
{
    char *copy = strdup(name);
    if (copy)
        downloads_begin(x, &(struct download_work){"model", name, pull_run, copy, free});
    else
        http_fail(x, 500, NULL, NULL, "out of memory");
}

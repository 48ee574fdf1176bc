#include "engine/engine.h"

#include <errno.h>

/* The projector is one, and how large it is. */
static int read_projector(const char *file, uint64_t *ret_bytes, struct gfxb_error *err)
{
    struct gguf gguf;
    int result = gguf_read(file, &gguf, err);
    if (result < 0)
        return result;
    *ret_bytes = gguf.bytes;
    if (gguf.kind != GGUF_PROJECTOR)
        result = error_set(err, GFXB_E_MODEL_UNUSABLE, "%s is no projector", file);
    gguf_done(&gguf);
    return result;
}

int model_use_new(const struct model_request *request, struct model_use *ret_use,
                  struct gfxb_error *err)
{
    struct model_use use = {.use = {.slots = request->slots}};
    uint64_t projector = 0;
    int result = gguf_read(request->file, &use.gguf, err);
    if (result < 0)
        return result;
    result = gguf_require_model(&use.gguf, request->file, err);
    if (result == 0 && request->mmproj)
        result = read_projector(request->mmproj, &projector, err);
    if (result == 0)
        result = model_shape_new(&use.gguf, projector, &use.shape, err);
    if (result == 0)
        result = model_launch_new(&use.gguf, request->known, request->context, request->mmproj,
                                  &use.launch, err);
    if (result < 0) {
        model_use_done(&use);
        return result;
    }
    use.use.context = use.launch.context;
    use.use.batch = use.launch.batch;
    *ret_use = use;
    return 0;
}

void model_use_done(struct model_use *use)
{
    gguf_done(&use->gguf);
    model_shape_done(&use->shape);
    model_launch_done(&use->launch);
}

const char **model_use_args(const struct model_use *use, const struct plan_choice *choice)
{
    size_t n = 0, of_choice = 0, of_model = 0;
    while (choice->args[of_choice])
        of_choice++;
    while (use && use->launch.args[of_model])
        of_model++;
    const char **args = calloc(of_choice + of_model + 1, sizeof(*args));
    for (size_t i = 0; args && i < of_choice; i++)
        args[n++] = choice->args[i];
    for (size_t i = 0; args && i < of_model; i++)
        args[n++] = use->launch.args[i];
    return args;
}

/*
 * shape.h - a header's numbers -> what the plan computes with. Part of model/model.h.
 */
#ifndef MODEL_GGUF_SHAPE_H
#define MODEL_GGUF_SHAPE_H

#include "model/gguf/gguf.h"
#include "plan/plan.h"

/*
 * What each layer weighs and keeps, by the file and by data/architectures.tsv (which says what
 * files leave out). projector_bytes: size of the file for --mmproj; 0 none. -ENOMEM, or
 * -GFXB_E_MODEL_DAMAGED for sizes whose product is absurd. model_shape_done frees.
 */
int model_shape_new(const struct gguf *gguf, uint64_t projector_bytes, struct fit_model *ret_model,
                    struct gfxb_error *err);
void model_shape_done(struct fit_model *model);

#endif

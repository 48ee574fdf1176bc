/* Would a model fit that is not here yet? For those who look at a list before they download. */
#include "api/dialect_models.h"

#include "report/report.h"

json_t *dialect_fit_json(const struct machine *m, uint64_t bytes)
{
    const struct model_offer offer = {"", bytes};
    uint64_t all = m ? model_offer_have(m) : 0;
    if (!all || !bytes)
        return json_null();
    uint64_t gpu = plan_memory_gpu(m), need = model_offer_need(&offer);
    bool fits = need <= all, on_gpu = fits && gpu;
    const char *where = on_gpu ? need <= gpu ? "gpu" : "part" : "cpu";
    return json_pack("{s:b, s:o, s:o, s:o}", "ok", (int)fits, "where",
                     report_json_text(fits ? where : NULL), "need_bytes", report_json_bytes(need),
                     "have_bytes", report_json_bytes(on_gpu ? gpu : all));
}

/* embed.c - another program asks: what should I run here? cc embed.c -lgfxbridge */
#include <gfxbridge.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct gfxb_error err;
    struct gfxb_tables *tables = NULL;
    struct gfxb_machine *machine = NULL;
    struct gfxb_plan *plan = NULL;
    int result = gfxb_tables_new(NULL, &tables, &err);
    if (result == 0)
        result = gfxb_machine_new(tables, argc > 1 ? argv[1] : NULL, &machine, &err);
    if (result == 0)
        result = gfxb_plan_new(machine, NULL, &plan, &err);
    const struct gfxb_choice *best = result == 0 ? gfxb_plan_chosen(plan) : NULL;
    if (best)
        printf("%s with %s: %s\n", best->backend, best->package, best->reason);
    else
        fprintf(stderr, "%s\n", result < 0 ? err.text : "nothing can run here");
    gfxb_plan_free(plan);
    gfxb_machine_free(machine);
    gfxb_tables_free(tables);
    return best ? 0 : 1;
}

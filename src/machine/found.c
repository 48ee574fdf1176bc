/* found.c - the list of GPUs while their evidence is being collected. */
#include "machine/machine_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct machine_found *machine_found_at(struct machine_scan *s, uint64_t place)
{
    if (place == MACHINE_NO_PLACE)
        return NULL;
    for (size_t i = 0; i < s->n; i++) {
        if (s->found[i].place == place)
            return &s->found[i];
    }
    return NULL;
}

struct machine_found *machine_found_add(struct machine_scan *s, uint64_t place)
{
    if (s->n == MACHINE_GPUS_MAX || !array_grow(&s->found, s->n, &s->capacity, sizeof(*s->found)))
        return NULL;
    struct machine_found *f = &s->found[s->n++];
    *f = (struct machine_found){
        .gpu =
            {
                .device = -1,
                .revision = -1,
                .driver = "?",
                .render_minor = -1,
                .render_openable = TRI_UNKNOWN,
                .kfd_node = -1,
                .kfd_ordinal = -1,
                .kfd_cwsr = TRI_UNKNOWN,
            },
        .place = place,
    };
    machine_place_text(place, f->gpu.pci);
    return f;
}

int machine_found_failure(struct machine_scan *s)
{
    if (s->n < MACHINE_GPUS_MAX)
        return -ENOMEM;
    if (s->m->n_notes == 0)
        machine_note(s->m, "more than %d GPUs were recorded: the rest is left out",
                     MACHINE_GPUS_MAX);
    return 0;
}

static int found_compare_names(const void *key, const void *element)
{
    return strcmp(key, *(char *const *)element);
}

bool machine_pci_has_name(const struct machine_scan *s, uint64_t place)
{
    char text[20];
    machine_place_text(place, text);
    return s->pci_names.n && bsearch(text, s->pci_names.name, s->pci_names.n,
                                     sizeof(*s->pci_names.name), found_compare_names);
}

static void found_add_note(char *note[static MACHINE_NOTES_MAX], unsigned *n, const char *format,
                           va_list args)
{
    char text[400];
    if (*n >= MACHINE_NOTES_MAX)
        return;
    vsnprintf(text, sizeof(text), format, args);
    note[*n] = str_dup(str_from(text));
    if (note[*n]) /* without memory for it, a note is left out */
        (*n)++;
}

void machine_gpu_note(struct machine_gpu *gpu, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    found_add_note(gpu->note, &gpu->n_notes, format, args);
    va_end(args);
}

void machine_note(struct machine *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    found_add_note(m->note, &m->n_notes, format, args);
    va_end(args);
}

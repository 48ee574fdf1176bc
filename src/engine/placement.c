/* placement.c - the engine's log -> where its weights are. */
#include "engine/engine_private.h"

#include <stdio.h>

static void placement_copy(char *to, size_t size, struct str from)
{
    snprintf(to, size, "%.*s", STR_ARG(from));
}

/* "CPU_Mapped" and "Vulkan0_Private" are kinds of memory of CPU and Vulkan0; "Vulkan_Host" is host
 * memory that the device can reach, so it belongs to the CPU. */
static struct str placement_device_of(struct str buffer)
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

/* A name and a number: "ROCm0", "Vulkan12", "RPC0[host:port]". Not "CPU", "BLAS", "AMX". */
static bool placement_is_gpu(struct str device)
{
    size_t letters = 0;
    while (letters < device.n && ((device.p[letters] >= 'A' && device.p[letters] <= 'Z') ||
                                  (device.p[letters] >= 'a' && device.p[letters] <= 'z')))
        letters++;
    struct str kind = {device.p, letters};
    return letters > 0 && letters < device.n && device.p[letters] >= '0' &&
           device.p[letters] <= '9' && !str_is(kind, "CPU") && !str_is(kind, "BLAS");
}

static struct engine_share *placement_at(struct engine_placement *placement, struct str device)
{
    for (size_t i = 0; i < placement->n; i++) {
        if (str_is(device, placement->item[i].device))
            return &placement->item[i];
    }
    if (placement->n == ENGINE_PLACEMENT_MAX || device.n == 0 ||
        device.n >= sizeof(placement->item[0].device))
        return NULL;
    struct engine_share *share = &placement->item[placement->n++];
    *share = (struct engine_share){
        .gpu = placement_is_gpu(device), .model_mib = -1.0, .other_mib = -1.0};
    placement_copy(share->device, sizeof(share->device), device);
    return share;
}

static struct str placement_last_word(struct str *rest)
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
static bool placement_take_buffer(struct engine_placement *placement, struct str line)
{
    static const char mark[] = " buffer size = ";
    const char *at = memmem(line.p, line.n, mark, sizeof(mark) - 1);
    if (!at)
        return false;
    struct str before = {line.p, (size_t)(at - line.p)};
    struct str after = {at + sizeof(mark) - 1, line.n - before.n - (sizeof(mark) - 1)};
    struct str number, unit, kind = placement_last_word(&before);
    struct str device = placement_last_word(&before);
    double mib = 0.0;
    if (!str_word(&after, &number) || !str_word(&after, &unit) || !str_is(unit, "MiB") ||
        decimal_parse(number, &mib) < 0)
        return true;
    struct engine_share *share = placement_at(placement, placement_device_of(device));
    if (!share)
        return true;
    double *sum = str_is(kind, "model") ? &share->model_mib : &share->other_mib;
    *sum = (*sum < 0.0 ? 0.0 : *sum) + mib;
    return true;
}

/* Cut "(text)" off the end of *rest. The text may hold closed pairs of parentheses. */
static bool placement_cut_pair(struct str *rest, struct str *ret_inside)
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

static bool placement_is_hex(struct str text, size_t least, size_t most)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
            return false;
    }
    return text.n >= least && text.n <= most;
}

/* "0000:03:00.0"; a domain may have more digits. */
static bool placement_is_pci(struct str text)
{
    struct str domain, bus, slot;
    return str_cut(&text, ':', &domain) && str_cut(&text, ':', &bus) &&
           str_cut(&text, '.', &slot) && placement_is_hex(domain, 4, 8) &&
           placement_is_hex(bus, 2, 2) && placement_is_hex(slot, 2, 2) &&
           placement_is_hex(text, 1, 1);
}

static void placement_set_pci(char *to, size_t size, struct str pci)
{
    placement_copy(to, size, pci);
    for (char *c = to; *c; c++) {
        if (*c >= 'A' && *c <= 'F')
            *c = (char)(*c - 'A' + 'a');
    }
}

/* "using device Vulkan0 (AMD Radeon RX 7900 XTX (RADV NAVI31)) (0000:03:00.0) - 23258 MiB free" */
static bool placement_take_device(struct engine_placement *placement, struct str line)
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
    if (!placement_cut_pair(&rest, &id))
        return true;
    if (!placement_cut_pair(&rest, &description)) {
        description = id; /* an engine that does not tell ids */
        id = STR_NONE;
    }
    if (!str_word(&rest, &name))
        return true;
    struct engine_share *share = placement_at(placement, name);
    if (!share)
        return true;
    placement_copy(share->description, sizeof(share->description), description);
    if (placement_is_pci(id))
        placement_set_pci(share->pci, sizeof(share->pci), id);
    return true;
}

static void placement_take_line(struct engine_placement *placement, struct str line)
{
    if (str_has(line, STR("llama_model_loader: loaded meta data"))) {
        /* A new load begins. Its devices may have been named before this line or after it. */
        for (size_t i = 0; i < placement->n; i++)
            placement->item[i].model_mib = placement->item[i].other_mib = -1.0;
        return;
    }
    if (str_ends(line, STR("model loaded")))
        placement->loaded = true;
    else if (!placement_take_buffer(placement, line))
        placement_take_device(placement, line);
}

void placement_parse(struct str log, struct engine_placement *ret_placement)
{
    struct engine_placement placement = {.n = 0};
    struct str line;
    while (str_cut(&log, '\n', &line))
        placement_take_line(&placement, str_trim(line));
    for (size_t i = 0; i < placement.n; i++) {
        double mib = placement.item[i].model_mib;
        if (mib > 0.0 && placement.item[i].gpu)
            placement.gpu_mib += mib;
        else if (mib > 0.0)
            placement.cpu_mib += mib;
    }
    *ret_placement = placement;
}

bool placement_names(const struct engine_share *share, const char *devices)
{
    struct str rest = str_from(devices), name;
    while (str_cut(&rest, ',', &name)) {
        if (str_is(name, share->device))
            return true;
    }
    return false;
}

void engine_placement_text(const struct engine_placement *placement, char *ret_text, size_t size)
{
    struct buf CLEAN_BUF text = BUF_INIT(8192);
    for (size_t i = 0; i < placement->n; i++) {
        const struct engine_share *share = &placement->item[i];
        if (!share->gpu || share->model_mib <= 0.0)
            continue;
        buf_addf(&text, "%s%s", text.n ? ", " : "", share->device);
        if (share->description[0])
            buf_addf(&text, " (%s)", share->description);
    }
    snprintf(ret_text, size, "%s", text.n ? buf_text(&text) : "CPU");
}

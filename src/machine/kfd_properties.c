/*
 * kfd_properties.c - one KFD topology node's properties file: "name value" a line, decimal numbers
 * only (Linux drivers/gpu/drm/amd/amdkfd/kfd_topology.c, node_show).
 */
#include "machine/machine_private.h"

static const struct kfd_field {
    struct str name;
    size_t offset;
    uint64_t max; /* what is larger is no such number */
} kfd_fields[] = {
#define KFD_FIELD(field, max)                                                                      \
    {                                                                                              \
        STR(#field), offsetof(struct kfd_properties, field), (max)                                 \
    }
    KFD_FIELD(simd_count, 1 << 20),         KFD_FIELD(cpu_cores_count, 1 << 20),
    KFD_FIELD(gfx_target_version, 1000000), KFD_FIELD(vendor_id, 0xffff),
    KFD_FIELD(device_id, 0xffff),           KFD_FIELD(location_id, UINT32_MAX),
    KFD_FIELD(domain, UINT32_MAX),          KFD_FIELD(drm_render_minor, 1 << 20),
    KFD_FIELD(fw_version, UINT32_MAX),      KFD_FIELD(sdma_fw_version, UINT32_MAX),
    KFD_FIELD(local_mem_size, UINT64_MAX),  KFD_FIELD(mem_banks_count, 1 << 10),
#undef KFD_FIELD
};
#define KFD_FIELDS (sizeof(kfd_fields) / sizeof(kfd_fields[0]))

/* Written by every kernel: a file with many lines that lacks one of these is damaged, while the few
 * lines that somebody picked out of one are not. */
static const struct str kfd_essential[] = {
    STR("simd_count"), STR("cpu_cores_count"), STR("vendor_id"),
    STR("device_id"),  STR("location_id"),
};
#define KFD_MANY_LINES 8

static bool kfd_is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '_')
            return false;
    }
    return s.n > 0;
}

static void kfd_take_field(struct str name, uint64_t value, unsigned *seen,
                           struct kfd_properties *ret)
{
    for (size_t i = 0; i < KFD_FIELDS; i++) {
        if (!str_eq(name, kfd_fields[i].name))
            continue;
        ret->is_damaged |= (*seen & 1U << i) || value > kfd_fields[i].max;
        if (value <= kfd_fields[i].max)
            memcpy((char *)ret + kfd_fields[i].offset, &value, sizeof(value));
        *seen |= 1U << i;
        return;
    }
}

static bool kfd_has_seen(struct str name, unsigned seen)
{
    for (size_t i = 0; i < KFD_FIELDS; i++) {
        if (str_eq(name, kfd_fields[i].name))
            return seen & 1U << i;
    }
    return false;
}

static bool kfd_lacks_essentials(unsigned seen)
{
    for (size_t i = 0; i < sizeof(kfd_essential) / sizeof(kfd_essential[0]); i++) {
        if (!kfd_has_seen(kfd_essential[i], seen))
            return true;
    }
    /* Kernels that know the one (5.16) know the other (5.8). */
    return kfd_has_seen(STR("gfx_target_version"), seen) && !kfd_has_seen(STR("domain"), seen);
}

void machine_parse_kfd(struct str text, struct kfd_properties *ret)
{
    *ret = (struct kfd_properties){0};
    unsigned seen = 0, sizes = 0, lines = 0;
    ret->is_damaged = text.n > KFD_PROPERTIES_MAX;
    struct str line, name, value;
    while (str_cut(&text, '\n', &line)) {
        uint64_t number;
        if (line.n == 0)
            continue;
        lines++;
        if (!str_cut(&line, ' ', &name) || !kfd_is_name(name) ||
            str_to_u64(value = str_trim(line), 10, &number) < 0) {
            ret->is_damaged = true;
            continue;
        }
        kfd_take_field(name, number, &seen, ret);
        if (str_is(name, "location_id"))
            ret->has_location = true;
        else if (str_is(name, "cwsr_size") || str_is(name, "ctl_stack_size"))
            sizes++;
        else if (str_is(name, "max_engine_clk_ccompute"))
            ret->is_whole = true;
    }
    ret->has_cwsr = sizes == 2;
    ret->is_damaged |= lines > KFD_MANY_LINES && kfd_lacks_essentials(seen);
}

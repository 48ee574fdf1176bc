/* Layout: glibc's sysdeps/generic/dl-cache.h. Header "glibc-ld.so.cache1.1", u32 entries, u32 bytes
 * of text, 20 bytes more; entries of {i32 flags, u32 soname, u32 path, u32 unused, u64 hwcap}, both
 * texts counted from the header. An older format may stand before it. */
#include "inspect/ldcache.h"
#include "inspect/elf_file.h"

#define LDCACHE_MAGIC  STR("glibc-ld.so.cache1.1")
#define LDCACHE_HEADER 48
#define LDCACHE_ENTRY  24

/* FLAG_ELF_LIBC6 and the architecture of each entry of this machine. */
static uint32_t ldcache_flags(unsigned machine)
{
    return machine == ELF_MACHINE_AARCH64 ? 0x0a03 : 0x0303;
}

static struct str ldcache_new_format(struct str cache)
{
    while (cache.n >= LDCACHE_HEADER) {
        if (str_starts(cache, LDCACHE_MAGIC))
            return cache;
        const char *next = memmem(cache.p + 1, cache.n - 1, LDCACHE_MAGIC.p, LDCACHE_MAGIC.n);
        if (!next)
            break;
        cache = (struct str){next, cache.n - (size_t)(next - cache.p)};
    }
    return STR_NONE;
}

static struct str ldcache_text(struct str cache, uint32_t at)
{
    if (at >= cache.n)
        return STR_NONE;
    const char *end = memchr(cache.p + at, '\0', cache.n - at);
    return end ? (struct str){cache.p + at, (size_t)(end - cache.p) - at} : STR_NONE;
}

struct str ldcache_find(struct str cache, unsigned machine, struct str soname)
{
    cache = ldcache_new_format(cache);
    if (!cache.n)
        return STR_NONE;
    const unsigned char *p = (const unsigned char *)cache.p;
    size_t entries = image_u32(p + LDCACHE_MAGIC.n);
    size_t fit = (cache.n - LDCACHE_HEADER) / LDCACHE_ENTRY;
    if (entries > fit)
        entries = fit;
    for (size_t i = 0; i < entries; i++) {
        const unsigned char *entry = p + LDCACHE_HEADER + i * LDCACHE_ENTRY;
        if (image_u32(entry) == ldcache_flags(machine) &&
            str_eq(ldcache_text(cache, image_u32(entry + 4)), soname))
            return ldcache_text(cache, image_u32(entry + 8));
    }
    return STR_NONE;
}

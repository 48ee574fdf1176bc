/*
 * capture.c - a machine as .machine text. The table below is the whole allow-list of paths that are
 * copied; of files with several lines, only the named ones. What holds personal things or is not a
 * file is made by capture_host.c.
 */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <stdio.h>

#define CAPTURE_FILE_MAX  256                      /* bytes of a file that holds one value */
#define CAPTURE_LINES_MAX (KFD_PROPERTIES_MAX + 1) /* bytes read of a file with many lines */
#define CAPTURE_TEXT_MAX  (16 << 20)               /* the whole text */

enum capture_how {
    CAPTURE_LIST,        /* a directory: recorded as complete, or as absent */
    CAPTURE_STATE,       /* a directory that is there or not */
    CAPTURE_GONE,        /* one of which only the absence matters */
    CAPTURE_MARK,        /* an empty file stands for one that is there */
    CAPTURE_FILE,        /* contents */
    CAPTURE_LINES,       /* lines that begin with one of the names */
    CAPTURE_WORDS,       /* words that begin with one of the names */
    CAPTURE_NODE,        /* a device node and whether it opens */
    CAPTURE_LINK,        /* the last component of a link */
    CAPTURE_DEVICE_LINK, /* a DRM node's device: a link to a PCI function */
};

static const char *const capture_os_names[] = {
    "PRETTY_NAME", "ID", "ID_LIKE", "VERSION_ID", "VERSION_CODENAME", NULL,
};
static const char *const capture_memory_names[] = {"MemTotal", "MemAvailable", NULL};
static const char *const capture_uevent_names[] = {
    "DRIVER", "PCI_CLASS", "PCI_ID", "PCI_SUBSYS_ID", "PCI_SLOT_NAME", "MODALIAS", NULL,
};
/* Never unique_id and hive_id: they are serial numbers. */
static const char *const capture_kfd_names[] = {
    "cpu_cores_count",
    "simd_count",
    "mem_banks_count",
    "lds_size_in_kb",
    "wave_front_size",
    "array_count",
    "simd_per_cu",
    "gfx_target_version",
    "vendor_id",
    "device_id",
    "location_id",
    "domain",
    "drm_render_minor",
    "local_mem_size",
    "fw_version",
    "sdma_fw_version",
    "capability",
    "num_xcc",
    "cwsr_size",
    "ctl_stack_size",
    "max_engine_clk_fcompute",
    "max_engine_clk_ccompute",
    NULL,
};
/* Nothing that names a disk, a network or a person. */
static const char *const capture_argument_names[] = {
    "amdgpu.",           "radeon.", "ttm.",       "amdttm.", "nomodeset", "modprobe.blacklist=",
    "module_blacklist=", "iommu=",  "amd_iommu=", "pci=",    NULL,
};
static const char *const capture_bank_names[] = {"heap_type", "size_in_bytes", NULL};

static const struct capture_rule {
    const char *pattern;
    enum capture_how how;
    const char *const *names; /* for CAPTURE_LINES and CAPTURE_WORDS */
    const char *unless;       /* left out when this is there */
} capture_rules[] = {
#define CAPTURE_RULE(pattern, how)                                                                 \
    {                                                                                              \
        pattern, how, NULL, NULL                                                                   \
    }
#define CAPTURE_LINES_OF(pattern, names, unless)                                                   \
    {                                                                                              \
        pattern, CAPTURE_LINES, names, unless                                                      \
    }
    CAPTURE_RULE("/proc/sys/kernel/osrelease", CAPTURE_FILE),
    CAPTURE_LINES_OF("/etc/os-release", capture_os_names, NULL),
    CAPTURE_LINES_OF("/usr/lib/os-release", capture_os_names, "/etc/os-release"),
    CAPTURE_LINES_OF("/proc/meminfo", capture_memory_names, NULL),
    CAPTURE_RULE("/sys/devices/system/cpu/online", CAPTURE_FILE),
    {"/proc/cmdline", CAPTURE_WORDS, capture_argument_names, NULL},
    CAPTURE_RULE("/sys/class/dmi/id/sys_vendor", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/dmi/id/product_name", CAPTURE_FILE),
    CAPTURE_RULE("/usr/bin/apt-get", CAPTURE_MARK),
    CAPTURE_RULE("/sys/module/amdgpu", CAPTURE_STATE),
    CAPTURE_RULE("/sys/module/amdgpu/version", CAPTURE_FILE),
    CAPTURE_RULE("/sys/module/ttm/parameters/pages_limit", CAPTURE_FILE),
    CAPTURE_RULE("/sys/module/amdttm/parameters/pages_limit", CAPTURE_FILE),
    CAPTURE_RULE("/dev/kfd", CAPTURE_NODE),
    CAPTURE_RULE("/dev/dxg", CAPTURE_NODE),
    CAPTURE_RULE("/dev/dri", CAPTURE_LIST),
    CAPTURE_RULE("/dev/dri/renderD#", CAPTURE_NODE),
    CAPTURE_RULE("/sys/bus/pci/drivers", CAPTURE_STATE),
    CAPTURE_RULE("/sys/bus/pci/devices", CAPTURE_LIST),
    CAPTURE_RULE("/sys/bus/pci/devices/@", CAPTURE_LIST),
    CAPTURE_RULE("/sys/bus/pci/devices/@/class", CAPTURE_FILE),
    CAPTURE_RULE("/sys/bus/pci/devices/@/vendor", CAPTURE_FILE),
    CAPTURE_RULE("/sys/bus/pci/devices/@/device", CAPTURE_FILE),
    CAPTURE_RULE("/sys/bus/pci/devices/@/revision", CAPTURE_FILE),
    CAPTURE_LINES_OF("/sys/bus/pci/devices/@/uevent", capture_uevent_names, NULL),
    CAPTURE_RULE("/sys/bus/pci/devices/@/driver", CAPTURE_LINK),
    CAPTURE_RULE("/sys/class/drm", CAPTURE_LIST),
    CAPTURE_RULE("/sys/class/drm/renderD#/device", CAPTURE_DEVICE_LINK),
    CAPTURE_LINES_OF("/sys/class/drm/renderD#/device/uevent", capture_uevent_names, NULL),
    CAPTURE_RULE("/sys/class/drm/card#/device", CAPTURE_DEVICE_LINK),
    CAPTURE_RULE("/sys/class/drm/card#/device/class", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/drm/card#/device/vendor", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/drm/card#/device/device", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/drm/card#/device/revision", CAPTURE_FILE),
    CAPTURE_LINES_OF("/sys/class/drm/card#/device/uevent", capture_uevent_names, NULL),
    CAPTURE_RULE("/sys/class/drm/card#/device/driver", CAPTURE_LINK),
    CAPTURE_RULE("/sys/class/drm/card#/device/mem_info_vram_total", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/drm/card#/device/mem_info_vram_used", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/drm/card#/device/mem_info_vis_vram_total", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/drm/card#/device/mem_info_gtt_total", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/drm/card#/device/mem_info_gtt_used", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/drm/card#/device/board_info", CAPTURE_MARK),
    CAPTURE_RULE("/sys/class/drm/card#/device/fw_version/mec_fw_version", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/drm/card#/device/fw_version/mes_fw_version", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/drm/card#/device/fw_version/sdma_fw_version", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/drm/card#/device/ip_discovery/die/0/11/0/major", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/drm/card#/device/ip_discovery/die/0/11/0/minor", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/drm/card#/device/ip_discovery/die/0/11/0/revision", CAPTURE_FILE),
    CAPTURE_RULE("/sys/class/kfd", CAPTURE_GONE),
    CAPTURE_RULE("/sys/class/kfd/kfd/topology/nodes", CAPTURE_LIST),
    CAPTURE_RULE("/sys/class/kfd/kfd/topology/nodes/#/gpu_id", CAPTURE_FILE),
    CAPTURE_LINES_OF("/sys/class/kfd/kfd/topology/nodes/#/properties", capture_kfd_names, NULL),
    CAPTURE_LINES_OF("/sys/class/kfd/kfd/topology/nodes/#/mem_banks/#/properties",
                     capture_bank_names, NULL),
#undef CAPTURE_RULE
#undef CAPTURE_LINES_OF
};
#define CAPTURE_RULES (sizeof(capture_rules) / sizeof(capture_rules[0]))

void machine_capture_add(struct machine_capture *c, const char *path, struct buf *line)
{
    if (!buf_ok(line))
        c->failed = true;
    if (c->n == c->capacity && !c->failed) {
        size_t more = c->capacity ? c->capacity * 2 : 64;
        struct machine_capture_entry *grown = reallocarray(c->entry, more, sizeof(*grown));
        if (grown) {
            c->entry = grown;
            c->capacity = more;
        }
        c->failed = !grown;
    }
    if (!c->failed && line->n) {
        struct machine_capture_entry entry = {str_dup(str_from(path)), buf_take(line)};
        if (entry.path && entry.text) {
            c->entry[c->n++] = entry;
        } else {
            free(entry.path);
            free(entry.text);
            c->failed = true;
        }
    }
    buf_done(line);
}

void machine_capture_add_fact(struct machine_capture *c, const char *path, const char *text)
{
    struct buf line = BUF_INIT(CAPTURE_LINES_MAX);
    if (!text[0])
        return;
    root_write_file(&line, path, str_from(text));
    machine_capture_add(c, path, &line);
}

void machine_capture_mark(struct machine_capture *c, const char *path, enum tri state)
{
    struct buf line = BUF_INIT(MACHINE_PATH_MAX * 4);
    if (state == TRI_YES)
        root_write_file(&line, path, STR_NONE);
    else if (state == TRI_NO)
        root_write_mark(&line, "absent", path);
    machine_capture_add(c, path, &line);
}

/* Is this PCI function's class one that machine_new looks at, or unreadable? */
static bool capture_wants_function(const struct root *root, const char *name)
{
    uint64_t class, place;
    if (machine_place_parse(str_from(name), &place) < 0)
        return false;
    if (machine_read_number(root, &class, "/sys/bus/pci/devices/%s/class", name) < 0)
        return true;
    return class <= 0xffffff && machine_class_is_gpu((int)class, MACHINE_AMD);
}

/* '#' stands for digits, '@' alone for a PCI function of interest. */
static bool capture_matches(const struct root *root, struct str part, const char *name)
{
    struct str text = str_from(name);
    uint64_t number;
    if (str_is(part, "@"))
        return capture_wants_function(root, name);
    struct str prefix = {part.p, part.n - 1};
    return str_starts(text, prefix) && text.n - prefix.n <= 7 &&
           str_to_u64((struct str){text.p + prefix.n, text.n - prefix.n}, 10, &number) == 0;
}

/* The lines that begin with one of the names. A line of KFD that no kernel writes leaves a mark, so
 * that the copy counts as damaged like the original. */
static void capture_filter(struct str text, const char *const *names, struct buf *out)
{
    struct str line, all = text;
    struct kfd_properties whole = {.is_damaged = false};
    while (text.n && str_cut(&text, '\n', &line)) {
        size_t n = 0;
        while (n < line.n && !strchr("=: ", line.p[n]))
            n++;
        for (size_t i = 0; names[i]; i++) {
            if (str_is((struct str){line.p, n}, names[i]))
                buf_addf(out, "%.*s\n", STR_ARG(line));
        }
    }
    if (names == capture_kfd_names)
        machine_parse_kfd(all, &whole);
    if (whole.is_damaged)
        buf_add_text(out, "(damaged)\n");
}

static void capture_pick(struct str text, const char *const *names, struct buf *out)
{
    struct str word;
    while (str_word(&text, &word)) {
        for (size_t i = 0; names[i]; i++) {
            if (str_starts(word, str_from(names[i])))
                buf_addf(out, "%s%.*s", out->n ? " " : "", STR_ARG(word));
        }
    }
}

static void capture_contents(struct machine_capture *c, const char *from, const char *path,
                             const struct capture_rule *rule)
{
    const char *const *names = rule->names;
    struct buf CLEAN_BUF text = BUF_INIT(CAPTURE_LINES_MAX);
    struct buf CLEAN_BUF kept = BUF_INIT(CAPTURE_LINES_MAX * 2);
    struct buf line = BUF_INIT(CAPTURE_LINES_MAX * 4);
    int r = root_read(c->root, from, names ? CAPTURE_LINES_MAX : CAPTURE_FILE_MAX, &text);
    if (r == -EACCES || r == -EPERM) {
        root_write_mark(&line, "denied", path);
    } else if (r == 0 && names) {
        if (rule->how == CAPTURE_WORDS)
            capture_pick(str_trim(buf_view(&text)), names, &kept);
        else
            capture_filter(buf_view(&text), names, &kept);
        root_write_file(&line, path, buf_view(&kept));
    } else if (r == 0) {
        root_write_file(&line, path, buf_view(&text));
    }
    machine_capture_add(c, path, &line);
}

/* A copy may hold a part of a directory: then nothing is said of what is not in it. */
static void capture_list(struct machine_capture *c, const char *from, const char *path)
{
    char other[MACHINE_PATH_MAX];
    struct root_names names = {NULL, 0};
    struct buf line = BUF_INIT(MACHINE_PATH_MAX * 4);
    int r = root_list(c->root, from, &names);
    snprintf(other, sizeof(other), "%.*s/?", (int)sizeof(other) - 3, from);
    if (r == 0 && root_knows(c->root, other))
        root_write_mark(&line, "dir", path);
    else if (r == -ENOENT)
        root_write_mark(&line, "absent", path);
    else if (r == -EACCES)
        root_write_mark(&line, "denied", path);
    root_names_done(&names);
    machine_capture_add(c, path, &line);
}

static void capture_state(struct machine_capture *c, const char *from, const char *path)
{
    struct buf line = BUF_INIT(MACHINE_PATH_MAX * 4);
    enum tri state = machine_path_state(c->root, from);
    if (state == TRI_YES)
        root_write_mark(&line, "dir", path);
    else if (state == TRI_NO)
        root_write_mark(&line, "absent", path);
    machine_capture_add(c, path, &line);
}

static void capture_node(struct machine_capture *c, const char *path)
{
    struct buf line = BUF_INIT(MACHINE_PATH_MAX * 4);
    struct root_stat st;
    int r = root_stat(c->root, path, &st);
    if (r == 0)
        root_write_char(&line, path, &st, root_try_open(c->root, path));
    else if (r == -ENOENT)
        root_write_mark(&line, "absent", path);
    machine_capture_add(c, path, &line);
}

/* Only the last component counts; the rest is the same on every computer. */
static void capture_link(struct machine_capture *c, const char *from, const char *path,
                         const char *prefix)
{
    char target[MACHINE_PATH_MAX], text[MACHINE_PATH_MAX];
    struct buf line = BUF_INIT(MACHINE_PATH_MAX * 4);
    if (root_readlink(c->root, from, target, sizeof(target)) < 0)
        return;
    int n = snprintf(text, sizeof(text), "%s%s", prefix, fs_name(target));
    if (n < 0 || n >= MACHINE_PATH_MAX)
        return;
    root_write_link(&line, path, text);
    machine_capture_add(c, path, &line);
}

/*
 * Where what stands below a DRM node's device is written: below the PCI function that the device
 * link leads to. ret_path is from, rewritten so.
 */
static void capture_place(const struct machine_capture *c, const char *from,
                          char ret_path[static MACHINE_PATH_MAX])
{
    char device[MACHINE_PATH_MAX], target[MACHINE_PATH_MAX], text[20];
    snprintf(ret_path, MACHINE_PATH_MAX, "%s", from);
    const char *end = strstr(from, "/device/");
    if (strncmp(from, "/sys/class/drm/", 15) != 0 || !end)
        return;
    snprintf(device, sizeof(device), "%.*s/device", (int)(end - from), from);
    if (root_readlink(c->root, device, target, sizeof(target)) < 0)
        return;
    machine_place_text(machine_place_of_link(target), text);
    if (!text[0])
        return;
    snprintf(target, sizeof(target), "/sys/bus/pci/devices/%s", text);
    bool listed = machine_has_path(c->root, target);
    int n = snprintf(ret_path, MACHINE_PATH_MAX, "%s/%s%s",
                     listed ? "/sys/bus/pci/devices" : "/sys/devices", text, end + 7);
    if (n < 0 || n >= MACHINE_PATH_MAX)
        ret_path[0] = '\0';
}

static void capture_device_link(struct machine_capture *c, const char *from, const char *path)
{
    char target[MACHINE_PATH_MAX], text[20];
    if (root_readlink(c->root, from, target, sizeof(target)) < 0)
        return;
    machine_place_text(machine_place_of_link(target), text);
    snprintf(target, sizeof(target), "/sys/bus/pci/devices/%s", text);
    bool listed = text[0] && machine_has_path(c->root, target);
    capture_link(c, from, path,
                 listed    ? "../../../bus/pci/devices/"
                 : text[0] ? "../../../devices/"
                           : "../../../devices/platform/");
}

static void capture_path(struct machine_capture *c, const struct capture_rule *rule,
                         const char *from)
{
    char path[MACHINE_PATH_MAX];
    capture_place(c, from, path);
    if (!path[0] || (rule->unless && machine_has_path(c->root, rule->unless)))
        return;
    switch (rule->how) {
    case CAPTURE_LIST:
        capture_list(c, from, path);
        break;
    case CAPTURE_STATE:
        capture_state(c, from, path);
        break;
    case CAPTURE_GONE:
        if (machine_path_state(c->root, from) == TRI_NO)
            machine_capture_mark(c, path, TRI_NO);
        break;
    case CAPTURE_MARK:
        if (machine_has_path(c->root, from))
            machine_capture_mark(c, path, TRI_YES);
        break;
    case CAPTURE_FILE:
    case CAPTURE_LINES:
    case CAPTURE_WORDS:
        capture_contents(c, from, path, rule);
        break;
    case CAPTURE_NODE:
        capture_node(c, path);
        break;
    case CAPTURE_LINK:
        capture_link(c, from, path, "../../drivers/");
        break;
    case CAPTURE_DEVICE_LINK:
        capture_device_link(c, from, path);
        break;
    }
}

/* done: the expanded beginning of the rule's pattern; rest: what is left of it. */
static void capture_expand(struct machine_capture *c, const struct capture_rule *rule,
                           const char *done, const char *rest)
{
    char path[MACHINE_PATH_MAX];
    const char *wild = strpbrk(rest, "#@");
    if (!wild) {
        int n = snprintf(path, sizeof(path), "%s%s", done, rest);
        if (n > 0 && n < MACHINE_PATH_MAX)
            capture_path(c, rule, path);
        return;
    }
    const char *start = wild;
    while (start > rest && start[-1] != '/')
        start--;
    struct str part = {start, (size_t)(wild + 1 - start)};
    char dir[MACHINE_PATH_MAX];
    int n = snprintf(dir, sizeof(dir), "%s%.*s", done, (int)(start - rest - 1), rest);
    struct root_names names = {NULL, 0};
    if (n < 0 || n >= MACHINE_PATH_MAX || root_list(c->root, dir, &names) < 0)
        return;
    for (size_t i = 0; i < names.n; i++) {
        n = snprintf(path, sizeof(path), "%s/%s", dir, names.name[i]);
        if (n > 0 && n < MACHINE_PATH_MAX && capture_matches(c->root, part, names.name[i]))
            capture_expand(c, rule, path, wild + 1);
    }
    root_names_done(&names);
}

/* A directory's tree follows it without a gap; of two entries for one path, what is there first. */
static int capture_compare(const void *a, const void *b)
{
    const struct machine_capture_entry *x = a, *y = b;
    size_t i = 0;
    while (x->path[i] && x->path[i] == y->path[i])
        i++;
    int left = x->path[i] == '/' ? 1 : (unsigned char)x->path[i] * 2;
    int right = y->path[i] == '/' ? 1 : (unsigned char)y->path[i] * 2;
    return left != right ? left - right : strcmp(y->text, x->text);
}

/* May nothing be written below `above` (the last entry that was), at path itself or further down?
 */
static bool capture_is_covered(const struct machine_capture_entry *above, const char *path)
{
    size_t n = strlen(above->path);
    if (strncmp(path, above->path, n) != 0)
        return false;
    return path[n] == '\0' || (path[n] == '/' && strncmp(above->text, "dir ", 4) != 0);
}

static void capture_write(struct machine_capture *c, struct buf *out)
{
    const struct machine_capture_entry *last = NULL;
    root_write_header(out);
    buf_add_text(out, "# Written by `gfxbridge capture`. No serial numbers, names or addresses of "
                      "people or networks.\n");
    if (c->n)
        qsort(c->entry, c->n, sizeof(*c->entry), capture_compare);
    for (size_t i = 0; i < c->n; i++) {
        /* A PCI function is reached through PCI and through DRM. */
        if (last && capture_is_covered(last, c->entry[i].path))
            continue;
        last = &c->entry[i];
        buf_add_text(out, last->text);
    }
}

int machine_capture(const struct root *root, struct buf *ret, struct gfxb_error *err)
{
    struct machine_capture c = {.root = root};
    struct buf CLEAN_BUF out = BUF_INIT(CAPTURE_TEXT_MAX);
    for (size_t i = 0; i < CAPTURE_RULES; i++)
        capture_expand(&c, &capture_rules[i], "", capture_rules[i].pattern);
    machine_capture_host(&c);
    capture_write(&c, &out);
    for (size_t i = 0; i < c.n; i++) {
        free(c.entry[i].path);
        free(c.entry[i].text);
    }
    free(c.entry);
    if (c.failed || !buf_ok(&out))
        return error_set(err, ENOMEM, "out of memory");
    buf_add_str(ret, buf_view(&out));
    return buf_ok(ret) ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* scan.c - what programs print of a GPU: PCI ids, gfx names and version numbers in any text. */
#include "gfx/scan.h"

#define AMD 0x1002u

static bool scan_is_alnum(char c)
{
    c = str_lower(c);
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

/* The next run of letters and digits, and the two before it: "vendor", "id", "4098". */
struct scan_words {
    struct str rest, word, before, before2;
};

static bool scan_word(struct scan_words *w)
{
    size_t i = 0, n = 0;
    while (i < w->rest.n && !scan_is_alnum(w->rest.p[i]))
        i++;
    while (i + n < w->rest.n && scan_is_alnum(w->rest.p[i + n]))
        n++;
    w->before2 = w->before;
    w->before = w->word;
    w->word = (struct str){w->rest.p + i, n};
    w->rest = (struct str){w->rest.p + i + n, w->rest.n - i - n};
    return n > 0;
}

static bool scan_is(struct str word, const char *text)
{
    return str_eq_nocase(word, str_from(text));
}

/* `digits` hexadecimal digits, or with 0x before them. */
static bool scan_hex(struct str word, size_t digits, bool *ret_prefixed, unsigned *ret_value)
{
    uint64_t value;
    bool prefixed = word.n > 2 && word.p[0] == '0' && str_lower(word.p[1]) == 'x';
    if (prefixed)
        word = (struct str){word.p + 2, word.n - 2};
    if (word.n != digits || str_to_u64(word, 16, &value) < 0)
        return false;
    *ret_prefixed = prefixed;
    *ret_value = (unsigned)value;
    return true;
}

/* "v00001002d0000744Csv...": modalias. */
static bool scan_modalias(struct str word, unsigned *ret_vendor, unsigned *ret_device)
{
    bool prefixed;
    return word.n >= 18 && str_lower(word.p[0]) == 'v' && str_lower(word.p[9]) == 'd' &&
           scan_hex((struct str){word.p + 1, 8}, 8, &prefixed, ret_vendor) &&
           scan_hex((struct str){word.p + 10, 8}, 8, &prefixed, ret_device);
}

/* Number of decimal digits that the word is, 0: it has others. */
static bool scan_decimal(struct str word, uint64_t *ret_value)
{
    return word.n && str_to_u64(word, 10, ret_value) == 0;
}

enum { WANTS_NOTHING, WANTS_DEVICE, WANTS_FOREIGN };

/* Where the scan stands: a vendor may be on the line before its device. */
struct scan_state {
    struct gfx_scan *scan;
    const struct gfx_tables *t;
    int wants; /* what the next device id is of */
    int device, revision;
};

static void scan_add_id(struct scan_state *s)
{
    if (s->device < 0)
        return;
    const struct gfx_card *card = gfx_card_find(s->t, (uint16_t)s->device, s->revision);
    if (card && s->scan->n_cards < GFX_SCAN_MAX)
        s->scan->card[s->scan->n_cards++] = card;
    else if (!card)
        s->scan->unknown = s->device;
    s->device = s->revision = -1;
}

static bool scan_is_card(const struct scan_state *s, unsigned device)
{
    return gfx_card_find(s->t, (uint16_t)device, -1) != NULL;
}

/* A vendor: 1002 before a device, VEN_1002, "vendorID = 0x1002", "vendor_id 4098". */
static bool scan_vendor(struct scan_state *s, const struct scan_words *w)
{
    unsigned value = 0;
    uint64_t number = 0;
    bool prefixed = false, hex = scan_hex(w->word, 4, &prefixed, &value);
    bool named = scan_is(w->before, "vendorid") || scan_is(w->before, "ven") ||
                 (scan_is(w->before, "id") && scan_is(w->before2, "vendor")) ||
                 (scan_is(w->before, "vendor") && (hex || prefixed));
    if (named && scan_decimal(w->word, &number) && !prefixed && number == AMD)
        value = AMD;
    bool pair = hex && w->rest.n > 4 && w->rest.p[0] == ':' && s->wants == WANTS_NOTHING;
    if (pair) {
        struct str next = {w->rest.p + 1, w->rest.n - 1};
        size_t n = 0;
        while (n < next.n && scan_is_alnum(next.p[n]))
            n++;
        unsigned device;
        pair = scan_hex((struct str){next.p, n}, 4, &prefixed, &device);
    }
    if (!named && !pair)
        return false;
    if (pair && s->device >= 0)
        return true; /* the board's own pair behind that of the chip */
    s->wants = value == AMD ? WANTS_DEVICE : WANTS_FOREIGN;
    return true;
}

static void scan_device(struct scan_state *s, const struct scan_words *w)
{
    unsigned value = 0;
    uint64_t number = 0;
    bool prefixed = false, hex = scan_hex(w->word, 4, &prefixed, &value);
    bool named = scan_is(w->before, "device") || scan_is(w->before, "deviceid") ||
                 scan_is(w->before, "dev") || scan_is(w->before, "did") ||
                 (scan_is(w->before, "id") &&
                  (scan_is(w->before2, "device") || scan_is(w->before2, "chip")));
    if (!hex && named && w->word.n == 5 && scan_decimal(w->word, &number) && number <= 0xffff) {
        value = (unsigned)number;
        hex = true;
    }
    if (!hex)
        return;
    if (s->wants == WANTS_FOREIGN) {
        s->wants = WANTS_NOTHING;
        s->scan->foreign = true;
    } else if (s->wants == WANTS_DEVICE ||
               ((prefixed || named) && s->device < 0 && scan_is_card(s, value))) {
        s->wants = WANTS_NOTHING;
        s->device = (int)value;
    }
}

static void scan_revision(struct scan_state *s, const struct scan_words *w, char sign)
{
    unsigned value;
    bool prefixed;
    bool named = scan_is(w->before, "rev") || scan_is(w->before, "revision");
    if (scan_hex(w->word, 2, &prefixed, &value) &&
        (named || (s->device >= 0 && (sign == ':' || prefixed))))
        s->revision = (int)value;
}

static void scan_add_target(struct gfx_scan *scan, const struct gfx_target *target)
{
    for (size_t i = 0; i < scan->n_targets; i++) {
        if (scan->target[i] == target)
            return;
    }
    if (target && !target->covers.n && scan->n_targets < GFX_SCAN_MAX)
        scan->target[scan->n_targets++] = target;
}

/* gfx1151, GFX1103_R1, amdgcn-amd-amdhsa--gfx90a:sramecc+:xnack-. */
static void scan_gfx(struct scan_state *s, struct str word)
{
    char lower[16];
    if (word.n < 6 || word.n > sizeof(lower) || !scan_is((struct str){word.p, 3}, "gfx"))
        return;
    for (size_t i = 0; i < word.n; i++)
        lower[i] = str_lower(word.p[i]);
    scan_add_target(s->scan, gfx_target_find(s->t, (struct str){lower, word.n}));
}

/* "gfx_target_version 110501", and "GC 11.5.1", "HSA_OVERRIDE_GFX_VERSION=11.0.0". */
static void scan_version(struct scan_state *s, const struct scan_words *w)
{
    uint64_t part[3];
    if (scan_is(w->before, "version") && scan_is(w->before2, "target") &&
        scan_decimal(w->word, &part[0]) && part[0] <= UINT32_MAX)
        scan_add_target(s->scan, gfx_target_by_kfd(s->t, (uint32_t)part[0]));
    bool gc = scan_is(w->before, "gc") || (scan_is(w->before, "ip") && scan_is(w->before2, "gc"));
    bool gfx = scan_is(w->before, "version") && scan_is(w->before2, "gfx");
    if ((!gc && !gfx) || !scan_decimal(w->word, &part[0]))
        return;
    struct scan_words next = *w;
    for (unsigned i = 1; i < 3; i++) {
        if (next.rest.n < 2 || next.rest.p[0] != '.' || !scan_word(&next) ||
            !scan_decimal(next.word, &part[i]) || part[i] > 99)
            return;
    }
    struct str triple = {w->word.p, (size_t)(next.word.p + next.word.n - w->word.p)};
    scan_add_target(s->scan, gc ? gfx_target_by_gc(s->t, triple)
                                : gfx_target_by_kfd(
                                      s->t, (uint32_t)(part[0] * 10000 + part[1] * 100 + part[2])));
}

static void scan_line(struct scan_state *s, struct str line)
{
    struct scan_words w = {.rest = line};
    unsigned vendor, device;
    for (;;) {
        char sign = w.rest.n ? w.rest.p[0] : ' ';
        if (!scan_word(&w))
            break;
        if (scan_modalias(w.word, &vendor, &device)) {
            s->device = vendor == AMD ? (int)device : -1;
            s->scan->foreign |= vendor != AMD;
            continue;
        }
        scan_gfx(s, w.word);
        scan_version(s, &w);
        scan_revision(s, &w, sign);
        if (!scan_vendor(s, &w))
            scan_device(s, &w);
    }
    s->scan->revision = s->revision;
    scan_add_id(s);
    s->revision = -1;
}

void gfx_scan_text(const struct gfx_tables *tables, struct str text, struct gfx_scan *ret_scan)
{
    struct scan_state s = {.scan = ret_scan, .t = tables, .device = -1, .revision = -1};
    struct str line;
    *ret_scan = (struct gfx_scan){.unknown = -1, .revision = -1};
    while (str_cut(&text, '\n', &line))
        scan_line(&s, line);
}

/*
 * gfx.h - the outward header of gfx/: tables -> lookups. PCI id -> card -> target; target -> what
 * covers it; packages and quirks as rows. All strings are views into the tables' bytes, valid as
 * long as the struct gfx_tables.
 */
#ifndef GFX_GFX_H
#define GFX_GFX_H

#include "base/base.h"

/* The five tables; data/NAME.tsv, described in docs/tables.md. */
enum gfx_table { GFX_TARGETS, GFX_CARDS, GFX_PACKAGES, GFX_QUIRKS, GFX_PROOFS, GFX_TABLES };

enum gfx_kind { GFX_KIND_UNKNOWN, GFX_DISCRETE, GFX_INTEGRATED, GFX_ACCELERATOR };
enum gfx_os { GFX_LINUX, GFX_WINDOWS };

/* data/targets.tsv: one LLVM AMDGPU target, or one generic target. */
struct gfx_target {
    struct str gfx;        /* "gfx1100", "gfx11-generic" */
    struct str family;     /* "gfx110X": how packages group it; never used for matching */
    struct str generation; /* "RDNA3" */
    struct str asics;      /* code names, separated by "; " */
    enum gfx_kind kind;    /* of most of its chips; UNKNOWN for a generic target */
    struct str gc;         /* GC IP versions, blank-separated: "11.0.1 11.0.4" */
    uint32_t kfd;          /* KFD gfx_target_version; 0: never reported */
    struct str generic;    /* the generic target that covers it; empty: none */
    struct str covers;     /* for a generic target: what it covers, blank-separated */
    unsigned elf_mach;     /* EF_AMDGPU_MACH */
    unsigned vgpr_kib; /* vector registers per CU in KiB; 0 unknown (kfd_get_vgpr_size_per_cu) */
    struct str vulkan; /* "yes", "kernel" (needs a module option on older kernels), "no" */
    struct str linux_first; /* first kernel release whose KFD drives it, "6.12"; empty: never, or
                               not known */
    struct str mesa_first;  /* first Mesa whose RADV knows it, "24.1"; empty the same */
    struct str atomics;     /* "always", or the MEC firmware from which on it needs no PCIe atomics;
                               empty: never, or not known */
    struct str source;
    unsigned line; /* in its table's file, as in all rows below */
};

/* data/cards.tsv: a PCI device id (vendor 1002), or one revision of it. */
/* There are thousands, of which a run asks for a few: what a row says stays in its text. */
struct gfx_card {
    const char *text; /* lent: the row from its name on */
    uint32_t text_bytes;
    unsigned line;
    uint16_t device;
    int16_t revision;   /* -1: any */
    enum gfx_kind kind; /* UNKNOWN: the target's kind holds */
};

/* Fields of the row, lent by the tables; all are empty for NULL. */
struct str gfx_card_name(const struct gfx_card *card); /* for people, never for decisions */
struct str gfx_card_asic(const struct gfx_card *card);
struct str gfx_card_gfx(const struct gfx_card *card); /* empty: before GCN, or unknown */
struct str gfx_card_generation(const struct gfx_card *card);
struct str gfx_card_confidence(const struct gfx_card *card); /* verified, single, inferred ... */
struct str gfx_card_source(const struct gfx_card *card);
/* Known to be from before GCN: it has no gfx target, and no ROCm and no Vulkan driver. */
bool gfx_card_is_old(const struct gfx_card *card);

/* data/packages.tsv: one exact engine package or one runtime archive. */
struct gfx_package {
    struct str id;       /* unique: publisher, then family or version, then system */
    struct str provider; /* how it is got: "github", "debian", "system", "therock" ... */
    struct str engine;   /* its row of engines.tsv; empty: none that gfxbridge can run */
    struct str backend;  /* rocm, vulkan, cpu; "runtime" for a ROCm runtime archive */
    enum gfx_os os;
    struct str arch;        /* x86_64, aarch64 */
    struct str gfx;         /* exact code-object targets, blank-separated; empty for vulkan, cpu */
    struct str unconfirmed; /* in some tags only: not there until an inspection says so */
    struct str runtime;     /* bundled, therock, system, none */
    struct str releases;    /* of therock, that it runs on, best first: "10.0 7.14"; empty any */
    struct str glibc;       /* lowest glibc it runs on, "2.35"; empty: unknown or its own */
    struct str locate;      /* URL, or package names for debian: the provider's own words */
    struct str tag;
    struct str sha256; /* empty: not locked yet */
    uint64_t size;     /* bytes to fetch; 0 unknown */
    bool installable;  /* a provider of ours can install it; else listed for people's answers */
    struct str notes;
    struct str source;
    unsigned line;
};

/* data/engines.tsv: a kind of engine, as the rooms below engine/ know it. Views into static text.
 */
struct gfx_engine {
    struct str name;          /* unique; "NAME:BACKEND" is what users type */
    struct str title;         /* for people */
    struct str program;       /* file name of its server */
    struct str programs;      /* what the names of its programs begin with */
    struct str libraries;     /* what the names of its libraries begin with, blank-separated */
    struct str loaded;        /* libraries by which the loader tells where one is installed */
    struct str plugins;       /* directory of its backends below one of libraries; empty none */
    struct str rocm, vulkan;  /* file of the backend; empty: it has none */
    struct str cpu;           /* what the names of its CPU backends begin with */
    struct str cpu_args;      /* arguments that keep it off every GPU, blank-separated */
    struct str layers_arg;    /* before the number of layers on the GPU; empty: it has none */
    struct str projector_arg; /* before the file of a projector; empty: it takes none */
    struct str software_env;  /* variable with which it uses a software device; empty none */
    struct str rpc;           /* file of the backend that uses workers elsewhere; empty none */
    struct str worker;        /* places of its worker's program, below that of the server */
    struct str own_args;      /* arguments that are gfxbridge's to give, blank-separated */
};

/* What a quirk does where its condition holds. */
enum gfx_effect {
    GFX_BLOCK,    /* the choice is rejected with `code` */
    GFX_WARN,     /* the choice stays; the sentence is shown */
    GFX_ENV,      /* value "NAME=text" goes into the engine's environment */
    GFX_ARG,      /* value is added to the engine's arguments */
    GFX_OVERRIDE, /* value is a gfx whose code objects this target runs (same ISA and registers) */
    GFX_NOTE,     /* knowledge for people's answers only */
    GFX_MEMORY,   /* value is what counts as an integrated GPU's memory: see docs/fit.md */
};

/* data/quirks.tsv. condition is a blank-separated list of terms that must all hold; plan/ defines
 * and evaluates the terms, `table check` refuses unknown ones. */
struct gfx_quirk {
    struct str id;
    struct str gfx; /* blank-separated targets; empty: any */
    struct str condition;
    enum gfx_effect effect;
    int code; /* GFXB_E_ of a block; 0 otherwise */
    struct str value;
    struct str text;       /* one sentence: what happens */
    struct str remedy;     /* what to do; may be empty */
    struct str confidence; /* high, medium, low, disputed */
    struct str source;
    unsigned line;
};

/* data/proofs.tsv: what came of a package's proof on a card elsewhere. Knowledge, never a proof. */
struct gfx_proof {
    struct str card;    /* "1002:744c" */
    struct str gfx;     /* empty for cards of other vendors */
    bool emulated;      /* an emulator ran the card's code */
    struct str package; /* a row of packages.tsv, or KIND:BACKEND */
    struct str kernel, driver;
    struct str date;            /* "2026-11-30" */
    struct str outcome;         /* "proven", or a reason code */
    unsigned tokens_per_second; /* 0 not measured */
    struct str source;
    unsigned line;
};

struct gfx_tables {
    const struct gfx_target *target; /* shorter names first, then by their bytes */
    size_t n_targets;
    const struct gfx_card *card; /* sorted by device, then revision; -1 first */
    size_t n_cards;
    const struct gfx_package *package; /* in order of preference within a backend */
    size_t n_packages;
    const struct gfx_quirk *quirk; /* sorted by id */
    size_t n_quirks;
    const struct gfx_proof *proof; /* sorted by their fields */
    size_t n_proofs;
    const char *file[GFX_TABLES]; /* where each came from: "cards.tsv" is the embedded one */
};

/*
 * The embedded tables, each replaced as a whole by override_dir/NAME.tsv where that file exists
 * (override_dir NULL: none). A bad row is -GFXB_E_TABLE with file, line and column.
 */
int gfx_tables_new(const char *override_dir, struct gfx_tables **ret_tables,
                   struct gfxb_error *err);
/* The same from several directories (NULL: none); each table from the first that holds it. */
int gfx_tables_layered(const char *const *dirs, size_t n, struct gfx_tables **ret_tables,
                       struct gfxb_error *err);
void gfx_tables_free(struct gfx_tables *tables);

/* One table from elsewhere: bytes stay the caller's and must live as long as the tables. */
struct gfx_table_source {
    enum gfx_table table;
    const char *file; /* for error messages; lent */
    struct str bytes;
};

/* As gfx_tables_new, but with these tables instead of the embedded ones of the same name. */
int gfx_tables_from(const struct gfx_table_source *source, size_t n, struct gfx_tables **ret_tables,
                    struct gfxb_error *err);

/* "targets", "cards", "packages", "quirks", "proofs". */
const char *gfx_table_name(enum gfx_table table);

/* The table's bytes as embedded (name as above); n 0: no such. */
struct str gfx_table_bytes(const char *name);

/* Every rule that one row cannot see: unknown gfx, generic targets and what they cover, overrides
 * between unlike targets, runtimes that nobody publishes, the five answers for every card. Missing
 * sources and double keys fail in gfx_tables_new already. Stops at the first finding, which names
 * file and line. */
int gfx_tables_check(const struct gfx_tables *tables, struct gfxb_error *err);

/* The target of a name; features behind a colon ("gfx906:sramecc+:xnack-") are cut off. */
const struct gfx_target *gfx_target_find(const struct gfx_tables *t, struct str name);
/* The target of a KFD gfx_target_version (90010: gfx90a). NULL when no row has it: gfx_kfd_name
 * gives the name to show. */
const struct gfx_target *gfx_target_by_kfd(const struct gfx_tables *t, uint32_t version);
/* "gfx90a" from 90010 into ret_name (at least 16 bytes); -EINVAL for 0 or nonsense. */
int gfx_kfd_name(uint32_t version, char *ret_name, size_t size);
/* The only target that has this GC IP version; NULL when none or several (9.4.3). */
const struct gfx_target *gfx_target_by_gc(const struct gfx_tables *t, struct str gc);

/* The row of this device and revision, else of the device alone, else NULL. revision -1: unknown.
 */
const struct gfx_card *gfx_card_find(const struct gfx_tables *t, uint16_t device, int revision);

/* The row with this index; false: there are fewer. */
bool gfx_engine_at(size_t index, struct gfx_engine *ret_engine);
/* The kind of this name; an empty name is the first row's. False: there is none. */
bool gfx_engine_find(struct str name, struct gfx_engine *ret_engine);
/* The name of the first row: of packages and models that say nothing else. */
struct str gfx_engine_default(void);
/* The file that makes a package one of this backend; empty: none does (the CPU's come as several).
 */
struct str gfx_engine_backend_file(const struct gfx_engine *engine, struct str backend);
/* Is this the name of one of its libraries? */
bool gfx_engine_owns_file(const struct gfx_engine *engine, struct str name);

/* How code objects for the targets in `list` (blank-separated, features allowed) serve `target`. */
enum gfx_via { GFX_VIA_NONE, GFX_VIA_EXACT, GFX_VIA_GENERIC, GFX_VIA_OVERRIDE };
/* Exact first, then generic, then an override that quirks.tsv marks as the same ISA and registers.
 * ret_used (may be NULL): the entry of the list that serves. */
enum gfx_via gfx_covers(const struct gfx_tables *t, const struct gfx_target *target,
                        struct str list, struct str *ret_used);

/* The row of packages.tsv with this id; NULL none. */
const struct gfx_package *gfx_package_find(const struct gfx_tables *t, const char *id);

/* The runtime row that an engine with runtime "therock" is paired with for this target, of the best
 * release that has one; NULL none. installable: only rows that a provider of ours can bring. */
const struct gfx_package *gfx_runtime_find(const struct gfx_tables *t,
                                           const struct gfx_package *engine, struct str gfx,
                                           bool installable);

/* Does a quirk row name this target ("gfx" column), whatever its condition? target NULL: only a row
 * that is about any target. */
bool gfx_quirk_names(const struct gfx_quirk *quirk, const struct gfx_target *target);

/* What is known of a card elsewhere: rows of proofs.tsv. */
struct gfx_known {
    unsigned proven, failed; /* on hardware */
    unsigned emulated;       /* proven on an emulator */
};

/* Of all cards of this target; target NULL: of cards with this id ("10de:2335"). package empty: of
 * every package of the backend. */
struct gfx_known gfx_known_of(const struct gfx_tables *t, const struct gfx_target *target,
                              const char *card, const char *backend, struct str package);
/* "proven by 2, failed for 1"; without such rows "published", or "published, proven on an
 * emulator".
 */
void gfx_known_write(const struct gfx_known *known, struct buf *ret);

/* data/names.tsv: what else GPUs, and things with a GPU in them, are called. Views into static
 * text. */
struct gfx_alias {
    struct str kind;  /* "processor", "chip", "device" */
    struct str name;  /* the one that fits; empty: none */
    struct str gfx;   /* targets, blank-separated; empty: a processor without a GPU */
    struct str means; /* for people */
};

/* Are the rows of names.tsv whole and their targets known? */
int gfx_aliases_check(const struct gfx_tables *t, struct gfxb_error *err);

/* What a person asked for. */
enum gfx_query_kind {
    GFX_QUERY_ID,     /* "1002:744c", "1002:744c:cc" */
    GFX_QUERY_TARGET, /* "gfx1101", "gfx906:sramecc+:xnack-" */
    GFX_QUERY_FAMILY, /* "gfx110X", "gfx11-generic", "RDNA3" */
    GFX_QUERY_NAME,   /* "Radeon RX 7900 XT", or a chip's code name: "Navi 31" */
};

/* The answer: every candidate, never a guess. */
struct gfx_query {
    enum gfx_query_kind kind;
    const struct gfx_card **card; /* rows that match, in table order; lent by the tables */
    size_t n_cards;
    const struct gfx_target **target; /* the different targets among them, in table order */
    size_t n_targets;
    bool ambiguous;         /* the query leaves open which target (or whether any) */
    struct gfx_alias alias; /* by which it was found; name empty: by another way */
};

/*
 * Numbers first: PCI ids and gfx targets anywhere in the text, which may be many lines of lspci,
 * rocminfo and the like. Else names, compared as words: case, "AMD", "Radeon", "(TM)", "Graphics"
 * and the like do not count. Exact names win over processors and code names, these over names that
 * hold all words of the query, these over names that it holds among words of boards and makers.
 * A card named beside a processor or a computer, or on any line of a paste, wins over both.
 * "RX 7900 XT" is not "RX 7900 XTX", and a Radeon HD is never a Radeon RX.
 * -GFXB_E_GFX_UNKNOWN: nothing matches, and the sentence offers near names; -GFXB_E_NOT_AMD: an id
 * of another vendor; -GFXB_E_USAGE: not a query at all.
 */
int gfx_query_new(const struct gfx_tables *tables, const char *text, struct gfx_query **ret_query,
                  struct gfxb_error *err);
void gfx_query_free(struct gfx_query *query);

/* Words that a query and a card's name are compared without, in lower case; ends with NULL. */
extern const char *const gfx_noise_words[];

#endif

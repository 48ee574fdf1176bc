/* cmd_node.c - computers that compute together: paired, listed, asked, and served. */
#include "cli/cli.h"
#include "node/node.h"

#include <poll.h>

enum { NODE_ASK_MS = 2000, NODE_MEASURED_MS = 4000, NODE_PAIR_MS = 300000 };

enum { NODE_LISTEN = CLI_REQUEST_NEXT, NODE_KEY };

static const struct cli_option node_options[] = {
    CLI_REQUEST_OPTIONS,
    {"listen", "ADDRESS[:PORT]", "serve or wait there alone (default: all addresses)"},
    {"key", "SHA256", "add a computer by what its gfxbridge node list says of its key"},
    {NULL, NULL, NULL},
};

static json_t *node_text_or_null(const char *text)
{
    return text[0] ? json_string(text) : json_null();
}

static json_t *node_bytes_or_null(uint64_t bytes)
{
    return bytes ? json_integer((json_int_t)bytes) : json_null();
}

/* ---- list, add, remove ---- */

static json_t *node_peer_json(const struct node_peer *peer)
{
    return json_pack("{s:s, s:o, s:i, s:s, s:s}", "name", peer->name, "address",
                     node_text_or_null(peer->address), "port", (int)peer->port, "key", peer->key,
                     "day", peer->day);
}

static void node_peer_print(const struct node_peer *peer)
{
    bool is_ipv6 = strchr(peer->address, ':');
    if (peer->address[0])
        text_print(stdout, "%-16s " TEXT_HANG "at %s%s%s:%u, paired on %s", peer->name,
                   is_ipv6 ? "[" : "", peer->address, is_ipv6 ? "]" : "", peer->port, peer->day);
    else
        text_print(stdout,
                   "%-16s " TEXT_HANG "may use this computer, paired on %s; no address, so it is "
                   "not used itself",
                   peer->name, peer->day);
}

static int node_list(struct cli *cli, const struct cli_args *args)
{
    struct node_peers *CLEAN_FREE peers = xcalloc(1, sizeof(*peers));
    struct node_identity *identity;
    char key[DIGEST_HEX];
    cli_check(cli, node_peers_read(cli->config_dir, peers, &cli->err));
    cli_check(cli, node_identity_open(cli->config_dir, &identity, &cli->err));
    snprintf(key, sizeof(key), "%s", node_identity_key(identity));
    node_identity_free(identity);
    if (cli->json) {
        json_t *list = json_array();
        for (size_t i = 0; i < peers->n; i++)
            json_array_append_new(list, node_peer_json(&peers->peer[i]));
        cli_print_json(cli, json_pack("{s:s, s:o}", "key", key, "nodes", list));
        return CLI_DONE;
    }
    for (size_t i = 0; i < peers->n; i++)
        node_peer_print(&peers->peer[i]);
    if (!cli->quiet)
        text_print(stderr, "%skey of this computer: %s",
                   peers->n ? "" : "No computer is paired with this one: gfxbridge node pair. ",
                   key);
    return CLI_DONE;
}

static void node_tell_peer(struct cli *cli, const struct node_peer *peer)
{
    if (cli->json)
        cli_print_json(cli, node_peer_json(peer));
    else
        node_peer_print(peer);
}

/* A new one by its key, or another address of one that is known. */
static int node_add(struct cli *cli, const struct cli_args *args)
{
    const char *name = args->word[1], *key = args->value[NODE_KEY];
    struct node_peers *CLEAN_FREE peers = xcalloc(1, sizeof(*peers));
    struct node_peer peer = {.port = NODE_PORT};
    if (!key && args->n_words < 3)
        cli_die(cli, GFXB_E_USAGE, "node add needs an address, or --key");
    cli_check(cli, node_peers_read(cli->config_dir, peers, &cli->err));
    const struct node_peer *known = node_peers_find(peers, name);
    if (known)
        peer = *known;
    if (!node_is_name(str_from(name)))
        cli_die(cli, GFXB_E_USAGE, "'%s' is no name: letters, digits, '.', '_' and '-', at most 63",
                name);
    if (!known && !key)
        cli_die(cli, GFXB_E_USAGE,
                "no node is called %s: pair it (gfxbridge node pair), or give --key with what "
                "gfxbridge node list says there",
                name);
    snprintf(peer.name, sizeof(peer.name), "%s", name);
    if (key && !node_is_key(str_from(key)))
        cli_die(cli, GFXB_E_USAGE, "--key takes the 64 hex digits that gfxbridge node list shows");
    if (key)
        snprintf(peer.key, sizeof(peer.key), "%s", key);
    if (args->n_words > 2)
        cli_check(cli, node_peer_set_address(&peer, args->word[2], NODE_PORT, &cli->err));
    if (known && key && strcmp(known->key, key) != 0)
        cli_die(cli, EEXIST, "another key is called %s: gfxbridge node remove %s first", name,
                name);
    cli_check(cli, node_peers_put(cli->config_dir, &peer, &cli->err));
    node_tell_peer(cli, &peer);
    return CLI_DONE;
}

static int node_remove(struct cli *cli, const struct cli_args *args)
{
    cli_check(cli, node_peers_remove(cli->config_dir, args->word[1], &cli->err));
    return CLI_DONE;
}

/* ---- pair ---- */

static void node_pair_waits(void *context, const char *address)
{
    const struct cli *cli = context;
    if (!cli->quiet)
        text_print(stderr,
                   "waiting at %s: type gfxbridge node pair and the address of this "
                   "computer on the other one",
                   address);
}

/* A line from stdin, without its end. */
static int node_read_line(char *ret_line, size_t size, int64_t until, struct gfxb_error *err)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    size_t n = 0;
    for (char c = 0; c != '\n';) {
        int64_t left = until - clock_now_ms();
        if (cli_cancelled)
            return error_set(err, GFXB_E_INTERRUPTED, "interrupted; nothing was paired");
        if (left <= 0)
            return error_set(err, ETIMEDOUT, "no answer in time; nothing was paired");
        if (poll(&in, 1, left < 60000 ? (int)left : 60000) <= 0)
            continue;
        if (read(STDIN_FILENO, &c, 1) <= 0)
            break;
        if (c != '\n' && n + 1 < size)
            ret_line[n++] = c;
    }
    ret_line[n] = '\0';
    return 0;
}

/* The code itself, in any case, with or without hyphens; on a terminal "yes" will do. */
static bool node_is_yes(const char *line, const char *code)
{
    if (isatty(STDIN_FILENO) &&
        (str_eq_nocase(str_from(line), STR("yes")) || str_eq_nocase(str_from(line), STR("y"))))
        return true;
    for (; *line || *code; line++, code++) {
        line += strspn(line, "- ");
        code += strspn(code, "-");
        if (str_lower(*line) != str_lower(*code))
            return false;
        if (!*line)
            return true;
    }
    return true;
}

static int node_pair_confirm(void *context, const char *code, int deadline_ms,
                             struct gfxb_error *err)
{
    struct cli *cli = context;
    char line[64];
    text_print(stderr, TEXT_STRONG "%s" TEXT_END, code);
    text_print(stderr, "Does the other computer show exactly this code? %s",
               isatty(STDIN_FILENO) ? "[yes/No]" : "Its code on standard input says yes.");
    int result = node_read_line(line, sizeof(line), clock_now_ms() + deadline_ms, err);
    if (result < 0 || node_is_yes(line, code))
        return result;
    return error_set(err, GFXB_E_NODE_IDENTITY, "that is not a yes: nothing was paired%s",
                     cli->quiet ? "" : ". Two codes that differ mean that somebody is in between");
}

static int node_pair_run(struct cli *cli, const struct cli_args *args)
{
    char host[256] = "";
    struct node_identity *identity;
    struct node_peer peer;
    struct node_pair_request request = {.config_dir = cli->config_dir,
                                        .name = host,
                                        .address = args->n_words > 1 ? args->word[1] : NULL,
                                        .listen = args->value[NODE_LISTEN],
                                        .deadline_ms = NODE_PAIR_MS,
                                        .cancel = &cli_cancelled,
                                        .on_wait = node_pair_waits,
                                        .confirm = node_pair_confirm,
                                        .context = cli};
    cli_catch_signals();
    gethostname(host, sizeof(host) - 1);
    host[strcspn(host, ".")] = '\0';
    if (!node_is_name(str_from(host)))
        snprintf(host, sizeof(host), "node");
    cli_check(cli, node_identity_open(cli->config_dir, &identity, &cli->err));
    request.identity = identity;
    int result = node_pair(&request, &peer, &cli->err);
    node_identity_free(identity);
    cli_check(cli, result);
    node_tell_peer(cli, &peer);
    return CLI_DONE;
}

/* ---- status ---- */

static json_t *node_status_json(const struct node_answer *a)
{
    const struct node_status *s = &a->status;
    int code = a->err.code ? a->err.code : s->code ? s->code : s->busy ? GFXB_E_NODE_BUSY : 0;
    const char *reason = a->err.code ? a->err.text : s->reason;
    json_t *gpus = json_array();
    for (size_t i = 0; i < s->n_cards; i++) {
        const struct node_card *card = &s->card[i];
        json_array_append_new(gpus, json_pack("{s:s, s:o, s:s, s:o, s:o}", "name", card->name,
                                              "gfx", node_text_or_null(card->gfx), "pci", card->pci,
                                              "total_bytes", node_bytes_or_null(card->total),
                                              "free_bytes", node_bytes_or_null(card->free)));
    }
    json_t *object = node_peer_json(&a->peer);
    json_t *more = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "code",
        gfxb_code_name(code), "reason", reason[0] ? report_json_text(reason) : json_null(),
        "version", node_text_or_null(s->version), "os", node_text_or_null(s->os), "arch",
        node_text_or_null(s->arch), "device", node_text_or_null(s->device), "gfx",
        node_text_or_null(s->gfx), "backend", node_text_or_null(s->backend), "package",
        node_text_or_null(s->package), "package_digest", node_text_or_null(s->package_digest),
        "engine", node_text_or_null(s->engine), "protocol", node_text_or_null(s->protocol),
        "total_bytes", node_bytes_or_null(s->total), "free_bytes", node_bytes_or_null(s->free),
        "bytes_per_second", s->bytes_per_second > 0 ? json_real(s->bytes_per_second) : json_null(),
        "round_trip_us", s->round_trip_us > 0 ? json_real(s->round_trip_us) : json_null());
    json_object_update_missing_new(object, more);
    json_object_set_new(object, "gpus", gpus);
    return object;
}

static void node_status_print(const struct node_answer *a)
{
    const struct node_status *s = &a->status;
    if (a->err.code || s->code) {
        text_print(stdout, "%-16s " TEXT_HANG TEXT_BAD "%s" TEXT_END " [%s]", a->peer.name,
                   a->err.code ? a->err.text : s->reason,
                   gfxb_code_name(a->err.code ? a->err.code : s->code));
        return;
    }
    text_print(stdout,
               "%-16s " TEXT_HANG "%s on %s, %.1f of %.1f GB free, %s %s (RPC %s), link %.0f MB/s "
               "and %.2f ms%s",
               a->peer.name, s->backend, s->device, (double)s->free / 1e9, (double)s->total / 1e9,
               s->package, s->engine, s->protocol, s->bytes_per_second / 1e6,
               s->round_trip_us / 1e3, s->busy ? TEXT_WARN "; busy" TEXT_END : "");
}

static int node_status_run(struct cli *cli, const struct cli_args *args)
{
    struct node_answer *CLEAN_FREE answers = NULL;
    size_t n, failed = 0;
    cli_check(cli, node_ask_all(cli->config_dir, args->n_words > 1 ? args->word[1] : NULL,
                                NODE_MEASURED_MS, true, &answers, &n, &cli->err));
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        failed += answers[i].err.code != 0;
        if (cli->json)
            json_array_append_new(list, node_status_json(&answers[i]));
        else
            node_status_print(&answers[i]);
    }
    if (cli->json)
        cli_print_json(cli, json_pack("{s:O}", "nodes", list));
    else if (n == 0 && !cli->quiet)
        text_print(stderr, "There is no other computer to ask: gfxbridge node pair ADDRESS.");
    json_decref(list);
    return failed ? CLI_FAILED : CLI_DONE;
}

/* ---- serve ---- */

static int node_serve_run(struct cli *cli, const struct cli_args *args)
{
    struct node_server server = {.config_dir = cli->config_dir,
                                 .listen = args->value[NODE_LISTEN],
                                 .log = &cli->log,
                                 .cancel = &cli_cancelled};
    struct node_identity *identity;
    struct session_offer *offer;
    cli_catch_signals();
    cli_check(cli, node_identity_open(cli->config_dir, &identity, &cli->err));
    int result = session_offer_new(cli_read_request(cli, args), &offer, &cli->err);
    if (result == 0) {
        server.identity = identity;
        session_offer_serve(offer, &server);
        result = node_serve(&server, &cli->err);
        session_offer_free(offer);
    }
    node_identity_free(identity);
    cli_check(cli, result);
    return CLI_DONE;
}

static const struct node_verb {
    const char *name;
    size_t least, most; /* words */
    int (*run)(struct cli *cli, const struct cli_args *args);
} node_verbs[] = {
    {"list", 0, 1, node_list},         {"pair", 1, 2, node_pair_run},
    {"add", 2, 3, node_add},           {"remove", 2, 2, node_remove},
    {"status", 1, 2, node_status_run}, {"serve", 1, 1, node_serve_run},
};

static int node_run(struct cli *cli, const struct cli_args *args)
{
    const char *name = args->n_words ? args->word[0] : "list";
    const struct node_verb *verb = node_verbs;
    const struct node_verb *end = verb + sizeof(node_verbs) / sizeof(node_verbs[0]);
    while (verb < end && strcmp(verb->name, name) != 0)
        verb++;
    if (verb == end)
        cli_die(cli, GFXB_E_USAGE, "node has no '%s'; see gfxbridge node --help", name);
    if (args->n_words < verb->least || args->n_words > verb->most)
        cli_die(cli, GFXB_E_USAGE, "node %s: see gfxbridge node --help for the words it takes",
                name);
    return verb->run(cli, args);
}

const struct cli_command cli_command_node = {
    .name = "node",
    .words = "[list|pair|add|remove|status|serve] [NODE|ADDRESS] [ADDRESS]",
    .summary = "other computers of yours that run a model together with this one",
    .about =
        "pair       " TEXT_HANG
        "make two computers trust each other: gfxbridge node pair on one, gfxbridge node pair "
        "ADDRESS on the other; both show a code, and you say yes on both when it is the same\n"
        "serve      " TEXT_HANG
        "let paired computers use this one: tests its best backend, then listens on port 13306 "
        "(TLS 1.3; nobody else gets an answer)\n"
        "list       " TEXT_HANG "the paired computers, and the key of this one\n"
        "status     " TEXT_HANG
        "ask them, or one: GPU, memory, package, speed of the link. The exit code is 1 when one "
        "does not answer\n"
        "add        " TEXT_HANG
        "NODE ADDRESS gives a paired one its address, HOST[:PORT] or [IPv6]:PORT; with --key it "
        "need not be paired: add each on the other by its key\n"
        "remove     " TEXT_HANG "NODE may no longer use this computer, and is not used\n"
        "docs/nodes.md shows two computers from the beginning.",
    .options = node_options,
    .live = true,
    .run = node_run,
};

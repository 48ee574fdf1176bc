/* message.c - what nodes say to each other and what nodes.json holds, read strictly. */
#include "node/node_private.h"

#include <stdio.h>

#define MESSAGE_LANGUAGE 1 /* raised whenever a message changes */

enum field_kind {
    FIELD_END,
    FIELD_TEXT,   /* printable ASCII */
    FIELD_NAME,   /* node_is_name */
    FIELD_HEX,    /* a SHA-256, or "" */
    FIELD_NUMBER, /* uint64_t, as far as JSON's integers go */
    FIELD_PORT,   /* unsigned, 1 to 65535 */
    FIELD_FLAG,
    FIELD_CODE,  /* int, by its name; an errno value is told as node-lost */
    FIELD_CARDS, /* of a struct node_status */
};

/* A member of a JSON object, and where it is in a struct. */
struct field {
    const char *name;
    enum field_kind kind;
    size_t offset, size;
};

#define FIELD(kind, type, member)                                                                  \
    {                                                                                              \
#member, FIELD_##kind, offsetof(struct type, member),                                      \
            sizeof(((struct type *)NULL)->member)                                                  \
    }

static const struct field peer_fields[] = {
    FIELD(NAME, node_peer, name), FIELD(TEXT, node_peer, address), FIELD(PORT, node_peer, port),
    FIELD(HEX, node_peer, key),   FIELD(TEXT, node_peer, day),     {NULL, FIELD_END, 0, 0},
};

static const struct field card_fields[] = {
    FIELD(TEXT, node_card, name),    FIELD(TEXT, node_card, gfx),    FIELD(TEXT, node_card, pci),
    FIELD(NUMBER, node_card, total), FIELD(NUMBER, node_card, free), {NULL, FIELD_END, 0, 0},
};

static const struct field status_fields[] = {
    FIELD(HEX, node_status, computer),
    FIELD(TEXT, node_status, version),
    FIELD(TEXT, node_status, os),
    FIELD(TEXT, node_status, arch),
    {"cards", FIELD_CARDS, 0, 0},
    FIELD(FLAG, node_status, busy),
    FIELD(CODE, node_status, code),
    FIELD(TEXT, node_status, reason),
    FIELD(TEXT, node_status, device),
    FIELD(TEXT, node_status, gfx),
    FIELD(TEXT, node_status, backend),
    FIELD(TEXT, node_status, package),
    FIELD(HEX, node_status, package_digest),
    FIELD(HEX, node_status, fingerprint),
    FIELD(TEXT, node_status, engine),
    FIELD(TEXT, node_status, protocol),
    FIELD(NUMBER, node_status, total),
    FIELD(NUMBER, node_status, free),
    {NULL, FIELD_END, 0, 0},
};

static const struct field refused_fields[] = {
    FIELD(CODE, node_status, code),
    FIELD(TEXT, node_status, reason),
    {NULL, FIELD_END, 0, 0},
};

static const struct field want_fields[] = {
    FIELD(HEX, node_want, package_digest),
    FIELD(HEX, node_want, fingerprint),
    FIELD(TEXT, node_want, protocol),
    FIELD(NUMBER, node_want, memory),
    {NULL, FIELD_END, 0, 0},
};

static const struct field worker_fields[] = {
    FIELD(NUMBER, node_message, worker),
    {NULL, FIELD_END, 0, 0},
};

static const struct field value_fields[] = {
    FIELD(HEX, node_message, value),
    {NULL, FIELD_END, 0, 0},
};

static const struct field yes_fields[] = {
    FIELD(NAME, node_message, name),
    {NULL, FIELD_END, 0, 0},
};

static const struct field no_fields[] = {{NULL, FIELD_END, 0, 0}};

/* Each message: its members, and where in struct node_message they are. */
static const struct {
    const char *name;
    const struct field *fields;
    size_t offset;
} says[SAYS] = {
    [SAY_STATUS] = {"status", no_fields, 0},
    [SAY_IS] = {"is", status_fields, offsetof(struct node_message, status)},
    [SAY_OPEN] = {"open", want_fields, offsetof(struct node_message, want)},
    [SAY_OPENED] = {"opened", worker_fields, 0},
    [SAY_JOIN] = {"join", worker_fields, 0},
    [SAY_JOINED] = {"joined", no_fields, 0},
    [SAY_PING] = {"ping", no_fields, 0},
    [SAY_PONG] = {"pong", no_fields, 0},
    [SAY_MEASURE] = {"measure", no_fields, 0},
    [SAY_REFUSED] = {"refused", refused_fields, offsetof(struct node_message, status)},
    [SAY_COMMIT] = {"commit", value_fields, 0},
    [SAY_NONCE] = {"nonce", value_fields, 0},
    [SAY_YES] = {"yes", yes_fields, 0},
};

/* ---- texts ---- */

static bool is_printable(char c)
{
    return c >= 0x20 && c <= 0x7e;
}

bool node_is_name(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = str_lower(text.p[i]);
        bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!ok && (i == 0 || (c != '.' && c != '_' && c != '-')))
            return false;
    }
    return text.n && text.n < NODE_NAME;
}

bool node_is_key(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (str_hex_digit(text.p[i]) < 0 || str_lower(text.p[i]) != text.p[i])
            return false;
    }
    return text.n == DIGEST_HEX - 1;
}

static bool is_text(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (!is_printable(text.p[i]))
            return false;
    }
    return true;
}

/* ---- reading ---- */

static bool fields_read(const json_t *object, const struct field *fields, size_t others,
                        void *into);

static bool cards_read(const json_t *list, struct node_status *status)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > NODE_CARDS_MAX)
        return false;
    while (status->n_cards < n) {
        size_t i = status->n_cards++;
        if (!fields_read(json_array_get(list, i), card_fields, 0, &status->card[i]))
            return false;
    }
    return true;
}

static bool field_read(const json_t *value, const struct field *field, char *into)
{
    struct str text = {json_string_value(value), json_string_length(value)};
    json_int_t number = json_integer_value(value);
    switch (field->kind) {
    case FIELD_NUMBER:
        *(uint64_t *)(void *)into = (uint64_t)number;
        return json_is_integer(value) && number >= 0;
    case FIELD_PORT:
        *(unsigned *)(void *)into = (unsigned)number;
        return number > 0 && number <= 65535;
    case FIELD_FLAG:
        *(bool *)(void *)into = json_is_true(value);
        return json_is_boolean(value);
    case FIELD_CODE:
        *(int *)(void *)into = text.p ? error_code_number(text) : -EINVAL;
        return *(int *)(void *)into >= 0;
    case FIELD_CARDS:
        return cards_read(value, (struct node_status *)(void *)into);
    default:
        if (!text.p || text.n >= field->size || !is_text(text) ||
            (field->kind == FIELD_NAME && !node_is_name(text)) ||
            (field->kind == FIELD_HEX && text.n && !node_is_key(text)))
            return false;
        memcpy(into, text.p, text.n);
        return true;
    }
}

/* Exactly these members, and this number of others. *into is all zero. */
static bool fields_read(const json_t *object, const struct field *fields, size_t others, void *into)
{
    for (; fields->name; fields++) {
        const json_t *value = json_object_get(object, fields->name);
        if (!value || !field_read(value, fields, (char *)into + fields->offset))
            return false;
        others++;
    }
    return json_is_object(object) && json_object_size(object) == others;
}

static bool message_find(const char *name, enum node_say *ret_say)
{
    for (size_t i = 0; name && i < SAYS; i++) {
        if (strcmp(says[i].name, name) == 0) {
            *ret_say = (enum node_say)i;
            return true;
        }
    }
    return false;
}

int node_message_read(struct str json, struct node_message *ret_message)
{
    struct node_message message = {0};
    json_t *object = json_loadb(json.p ? json.p : "", json.n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *language = json_object_get(object, "node");
    int result = json_is_integer(language) && json_integer_value(language) != MESSAGE_LANGUAGE
                     ? -GFXB_E_NODE_VERSION
                     : -EBADMSG;
    if (json_integer_value(language) == MESSAGE_LANGUAGE &&
        message_find(json_string_value(json_object_get(object, "say")), &message.say) &&
        fields_read(object, says[message.say].fields, 2,
                    (char *)&message + says[message.say].offset)) {
        *ret_message = message;
        result = 0;
    }
    json_decref(object);
    return result;
}

int node_peer_read(const json_t *object, struct node_peer *ret_peer)
{
    struct node_peer peer = {0};
    if (!fields_read(object, peer_fields, 0, &peer) || !peer.key[0])
        return -EBADMSG;
    *ret_peer = peer;
    return 0;
}

ssize_t node_frame_missing(struct str bytes)
{
    if (bytes.n < NODE_FRAME_HEAD)
        return (ssize_t)(NODE_FRAME_HEAD - bytes.n);
    const unsigned char *p = (const unsigned char *)bytes.p;
    size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    if (n == 0 || n > NODE_MESSAGE_MAX || bytes.n - NODE_FRAME_HEAD > n)
        return -EBADMSG;
    return (ssize_t)(n - (bytes.n - NODE_FRAME_HEAD));
}

/* ---- writing ---- */

static json_t *fields_write(const struct field *fields, const void *from);

static json_t *cards_write(const struct node_status *status)
{
    json_t *list = json_array();
    for (size_t i = 0; i < status->n_cards; i++)
        json_array_append_new(list, fields_write(card_fields, &status->card[i]));
    return list;
}

static json_t *field_write(const struct field *field, const char *from)
{
    char text[NODE_TEXT * 4];
    int code;
    switch (field->kind) {
    case FIELD_NUMBER:
        return json_integer((json_int_t) * (const uint64_t *)(const void *)from);
    case FIELD_PORT:
        return json_integer(*(const unsigned *)(const void *)from);
    case FIELD_FLAG:
        return json_boolean(*(const bool *)(const void *)from);
    case FIELD_CODE:
        code = *(const int *)(const void *)from;
        return json_string(gfxb_code_name(code && code < 1024 ? GFXB_E_NODE_LOST : code));
    case FIELD_CARDS:
        return cards_write((const struct node_status *)(const void *)from);
    default:
        snprintf(text, sizeof(text), "%.*s", (int)field->size - 1, from);
        for (char *c = text; *c; c++)
            *c = is_printable(*c) ? *c : '?';
        return json_string(text);
    }
}

static json_t *fields_write(const struct field *fields, const void *from)
{
    json_t *object = json_object();
    for (; fields->name; fields++)
        json_object_set_new(object, fields->name,
                            field_write(fields, (const char *)from + fields->offset));
    return object;
}

json_t *node_peer_write(const struct node_peer *peer)
{
    return fields_write(peer_fields, peer);
}

void node_message_write(const struct node_message *message, struct buf *ret_frame)
{
    json_t *object =
        fields_write(says[message->say].fields, (const char *)message + says[message->say].offset);
    json_object_set_new(object, "node", json_integer(MESSAGE_LANGUAGE));
    json_object_set_new(object, "say", json_string(says[message->say].name));
    char *CLEAN_FREE text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (!text)
        xalloc_die();
    size_t n = strlen(text);
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_add_char(ret_frame, (char)(n >> shift & 0xff));
    buf_add(ret_frame, text, n);
}

/*
 * fuzz_node.c - any bytes as what a node says: one message after the other comes out of them, or
 * none; every text in it is printable, and writing it and reading it again gives the same.
 */
#include "node/node_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t size)
{
    size_t n = strnlen(text, size);
    if (n == size)
        __builtin_trap();
    for (size_t i = 0; i < n; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e)
            __builtin_trap();
    }
}

static void check_message(struct str json)
{
    struct node_message m, again;
    if (node_message_read(json, &m) < 0)
        return;
    const struct node_status *s = &m.status;
    check_text(m.name, sizeof(m.name));
    check_text(s->reason, sizeof(s->reason));
    check_text(s->device, sizeof(s->device));
    check_text(s->fingerprint, sizeof(s->fingerprint));
    check_text(m.want.protocol, sizeof(m.want.protocol));
    for (size_t i = 0; i < s->n_cards; i++)
        check_text(s->card[i].name, sizeof(s->card[i].name));
    struct buf CLEAN_BUF frame = BUF_INIT(NODE_FRAME_HEAD + NODE_MESSAGE_MAX);
    node_message_write(&m, &frame);
    if (!buf_ok(&frame) || node_frame_missing(buf_view(&frame)) != 0 ||
        node_message_read(str_skip(buf_view(&frame), NODE_FRAME_HEAD), &again) < 0 ||
        memcmp(&m, &again, sizeof(m)) != 0)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size}, frame = {rest.p, 0};
    ssize_t missing;
    /* As tls_hear reads: never more than the frame is known to lack. */
    while ((missing = node_frame_missing(frame)) >= 0) {
        if (missing == 0) {
            check_message(str_skip(frame, NODE_FRAME_HEAD));
            frame = (struct str){rest.p, 0};
            continue;
        }
        if ((size_t)missing > rest.n)
            break;
        frame.n += (size_t)missing;
        rest = str_skip(rest, (size_t)missing);
    }
    struct node_peer peer;
    char *CLEAN_FREE text = xstr_dup((struct str){(const char *)data, size});
    node_peer_set_address(&peer, text, 1, NULL);
    check_message((struct str){(const char *)data, size});
    return 0;
}

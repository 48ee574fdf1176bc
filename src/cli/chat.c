/* chat.c - a conversation on the terminal, with pictures. */
#include "cli/cli.h"

#include <histedit.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <wchar.h>

/* ---- pictures ---- */

enum { IMAGE_MAX = 20 << 20 };

/* By the first bytes, as the engine's own decoder does; NULL: no picture that it reads. */
static const char *image_type(struct str bytes)
{
    struct str form = bytes.n >= 12 ? (struct str){bytes.p + 8, 4} : STR_NONE; /* of a RIFF file */
    return str_starts(bytes, STR("\x89PNG\r\n\x1a\n")) ? "image/png"
           : str_starts(bytes, STR("\xff\xd8\xff"))    ? "image/jpeg"
           : str_starts(bytes, STR("GIF8"))            ? "image/gif"
           : str_is(form, "WEBP")                      ? "image/webp"
                                                       : NULL;
}

/* A PNG, JPEG, WebP or GIF file of at most 20 MiB as an OpenAI content part with a data: URL; NULL:
 * people were told why not. */
static json_t *image_read(const char *file)
{
    struct buf CLEAN_BUF bytes = BUF_INIT(IMAGE_MAX), url = BUF_INIT(2 * IMAGE_MAX);
    int result = fs_read(file, IMAGE_MAX, &bytes);
    const char *type = result < 0 ? NULL : image_type(buf_view(&bytes));
    if (result < 0)
        text_print(stderr, "cannot read the picture %s: %s", file,
                   result == -EFBIG ? "it is larger than 20 MiB" : error_errno_text(-result));
    else if (!type)
        text_print(stderr, "%s is no PNG, JPEG, WebP or GIF picture", file);
    if (!type)
        return NULL;
    buf_addf(&url, "data:%s;base64,", type);
    size_t n = (bytes.n + 2) / 3 * 4;
    char *room = buf_room(&url, n + 1); /* EVP_EncodeBlock ends it with a NUL */
    json_t *part = NULL;
    if (room) {
        EVP_EncodeBlock((unsigned char *)room, (const unsigned char *)bytes.p, (int)bytes.n);
        buf_grew(&url, n);
        part = json_pack("{s:s, s:{s:s%}}", "type", "image_url", "image_url", "url", url.p, url.n);
    }
    if (!part)
        text_print(stderr, "out of memory");
    return part;
}

enum { CHAT_HISTORY = 1000, CHAT_MESSAGE_MAX = 4 << 20 };

#define CHAT_BLOCK "\"\"\"" /* begins and ends a message of several lines */

struct chat {
    struct cli *cli;
    unsigned max_tokens;
    EditLine *line;
    History *history;
    const char *history_file; /* NULL: this user has no home */
    json_t *request;          /* with the options that are stored for the model */
    json_t *messages;         /* the conversation so far; lent by the request */
    json_t *images;           /* content parts for the next message */
    bool more;                /* inside a message of several lines */
    bool end;
};

static char *chat_prompt(EditLine *line)
{
    static char first[] = ">>> ", next[] = "... ";
    struct chat *chat = NULL;
    el_get(line, EL_CLIENTDATA, &chat);
    return chat->more ? next : first;
}

/* ---- words that begin with a slash ---- */

static void chat_help(struct chat *chat, struct str rest);

static void chat_begin(struct chat *chat)
{
    json_decref(chat->request);
    chat->request = cli_engine_request(chat->cli);
    chat->messages = json_object_get(chat->request, "messages");
}

static void chat_clear(struct chat *chat, struct str rest)
{
    chat_begin(chat);
    json_array_clear(chat->images);
    text_print(stdout, "New conversation.");
}

static void chat_system(struct chat *chat, struct str rest)
{
    json_t *message =
        json_pack("{s:s, s:s%}", "role", "system", "content", rest.n ? rest.p : "", rest.n);
    if (!message || json_array_append_new(chat->messages, message) < 0)
        text_print(stderr, "This is no UTF-8 text.");
}

static void chat_image(struct chat *chat, struct str rest)
{
    char *CLEAN_FREE file = xstr_dup(rest);
    json_t *part = image_read(file);
    if (part && json_array_append_new(chat->images, part) == 0)
        text_print(stdout, "%s goes with your next message.", file);
}

static void chat_path(struct chat *chat, struct str rest)
{
    cli_tell_choice(&chat->cli->session);
}

static void chat_bye(struct chat *chat, struct str rest)
{
    chat->end = true;
}

static const struct chat_word {
    const char *name, *help;
    void (*run)(struct chat *chat, struct str rest);
} chat_words[] = {
    {"/help", "this", chat_help},
    {"/path", "which backend and device answers, and why not a better one", chat_path},
    {"/image", "FILE: show this picture (PNG, JPEG, WebP, GIF) with the next message", chat_image},
    {"/system", "TEXT: tell the model how to behave", chat_system},
    {"/clear", "forget the conversation", chat_clear},
    {"/bye", "end (as does Ctrl-D)", chat_bye},
};

static void chat_help(struct chat *chat, struct str rest)
{
    for (size_t i = 0; i < sizeof(chat_words) / sizeof(chat_words[0]); i++)
        text_print(stdout, "  %-8s " TEXT_HANG "%s", chat_words[i].name, chat_words[i].help);
    text_print(stdout, "Several lines: begin and end them with " CHAT_BLOCK
                       ", or end a line with \\. Ctrl-C stops an answer.");
}

static void chat_command(struct chat *chat, struct str line)
{
    struct str rest = line, word;
    if (!str_word(&rest, &word))
        return;
    for (size_t i = 0; i < sizeof(chat_words) / sizeof(chat_words[0]); i++) {
        if (str_is(word, chat_words[i].name)) {
            chat_words[i].run(chat, str_trim(rest));
            return;
        }
    }
    text_print(stderr, "There is no %.*s; /help shows what there is.", STR_ARG(word));
}

/* ---- a message ---- */

static int chat_add_message(struct chat *chat, struct str text)
{
    json_t *content = json_stringn(text.p ? text.p : "", text.n);
    if (content && json_array_size(chat->images)) {
        json_t *part = json_pack("{s:s, s:o}", "type", "text", "text", content);
        json_array_insert_new(chat->images, 0, part);
        content = chat->images;
        chat->images = json_array();
    }
    json_t *message = json_pack("{s:s, s:o}", "role", "user", "content", content);
    return message && json_array_append_new(chat->messages, message) == 0 ? 0 : -EILSEQ;
}

/* Collects what was shown, so that a stopped answer is known too. */
struct chat_answer {
    struct buf text;
    bool thinking;
};

static int chat_show(void *context, struct str piece, bool thinking)
{
    struct chat_answer *answer = context;
    if (!thinking)
        buf_add_str(&answer->text, piece);
    if (answer->thinking && !thinking)
        putchar('\n');
    if (answer->thinking != thinking)
        text_style(stdout, thinking ? TEXT_FAINT : TEXT_END);
    answer->thinking = thinking;
    fwrite(piece.p, 1, piece.n, stdout);
    return fflush(stdout) == 0 ? 0 : -errno;
}

/* What came of the answer so far is void. */
static void chat_begin_again(void *context)
{
    struct chat_answer *answer = context;
    buf_clear(&answer->text);
    putchar('\n');
    fflush(stdout);
}

static void chat_ask(struct chat *chat, struct str text)
{
    struct cli *cli = chat->cli;
    if (chat_add_message(chat, text) < 0) {
        text_print(stderr, "This is no UTF-8 text.");
        return;
    }
    char *messages = json_dumps(chat->messages, JSON_COMPACT);
    if (!messages)
        cli_die(cli, ENOMEM, "out of memory");
    struct chat_answer answer = {.text = BUF_INIT(CHAT_MESSAGE_MAX)};
    bool greedy = !cli->request.model && !json_object_size(cli->options);
    struct engine_chat request = {.messages = messages,
                                  .options = chat->request,
                                  .max_tokens = chat->max_tokens,
                                  .temperature = greedy ? 0 : -1,
                                  .silence_ms = ENGINE_SILENCE_MS,
                                  .on_text = chat_show,
                                  .context = &answer,
                                  .cancel = &cli_cancelled,
                                  .log = &cli->log};
    struct engine_reply reply;
    int result =
        session_ask(&cli->request, &cli->session, &request, chat_begin_again, &reply, &cli->err);
    free(messages);
    putchar('\n');
    if (result == -EREMOTEIO) /* the engine refuses this message: the next one goes without it */
        json_array_remove(chat->messages, json_array_size(chat->messages) - 1);
    else /* an answer that was stopped stays in the conversation as far as it came */
        json_array_append_new(chat->messages, json_pack("{s:s, s:s}", "role", "assistant",
                                                        "content", buf_text(&answer.text)));
    buf_done(&answer.text);
    if (result == 0) {
        engine_reply_done(&reply);
    } else if (result == -GFXB_E_INTERRUPTED && cli_cancelled == SIGINT) {
        cli_cancelled = 0;
        text_print(stderr, "(stopped)");
    } else if (result == -EREMOTEIO) {
        text_print(stderr, "gfxbridge: %s", cli->err.text);
    } else {
        cli_fail(cli);
    }
}

/* ---- lines ---- */

/* Wait for a key. A signal between the look at cli_cancelled and the wait would be lost, so they
 * are let in only while it waits. 0, or -1 with errno. */
static int chat_wait_key(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    struct pollfd key = {.fd = STDIN_FILENO, .events = POLLIN};
    sigset_t held, before;
    sigemptyset(&held);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        sigaddset(&held, ends[i]);
    sigprocmask(SIG_BLOCK, &held, &before);
    int ready = cli_cancelled ? 0 : ppoll(&key, 1, NULL, &before);
    int why = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = cli_cancelled ? EINTR : why;
    return cli_cancelled || ready < 0 ? -1 : 0;
}

/* libedit's reader: 1 and a character, 0 at the end of input, -1 with errno. */
static int chat_read_key(EditLine *line, wchar_t *ret_key)
{
    mbstate_t state = {0};
    char byte;
    for (;;) {
        ssize_t n = chat_wait_key() < 0 ? -1 : read(STDIN_FILENO, &byte, 1);
        if (n < 0 && errno == EINTR && !cli_cancelled)
            continue; /* the size of the window */
        if (n <= 0)
            return (int)n;
        size_t length = mbrtowc(ret_key, &byte, 1, &state);
        if (length <= 1)
            return 1;
        if (length == (size_t)-1)
            state = (mbstate_t){0}; /* no character of this locale */
    }
}

/* One line, without its newline; false at the end of input. */
static bool chat_read_line(struct chat *chat, struct str *ret_line)
{
    for (;;) {
        int n = 0;
        errno = 0;
        const char *line = el_gets(chat->line, &n);
        if (line && n > 0) {
            *ret_line = (struct str){line, (size_t)n};
            if (str_ends(*ret_line, STR("\n")))
                ret_line->n--;
            return true;
        }
        if (errno != EINTR || cli_cancelled != SIGINT)
            return false;
        cli_cancelled = 0; /* Ctrl-C at the prompt gives the line up */
        chat->more = false;
        el_reset(chat->line);
        putchar('\n');
    }
}

/* A whole message: one line, lines that end with a backslash, or a block. false: the end. */
static bool chat_read_message(struct chat *chat, struct buf *message)
{
    struct str line;
    bool block = false;
    chat->more = false;
    do {
        if (!chat_read_line(chat, &line))
            return false;
        if (!chat->more && str_starts(line, STR(CHAT_BLOCK))) {
            block = true;
            line = (struct str){line.p + STR(CHAT_BLOCK).n, line.n - STR(CHAT_BLOCK).n};
        }
        bool ends = block ? str_ends(line, STR(CHAT_BLOCK)) : !str_ends(line, STR("\\"));
        if (block && ends)
            line.n -= STR(CHAT_BLOCK).n;
        else if (!block && !ends)
            line.n--;
        buf_addf(message, "%s%.*s", chat->more ? "\n" : "", STR_ARG(line));
        chat->more = !ends;
    } while (chat->more);
    return true;
}

static void chat_remember(struct chat *chat, const char *text)
{
    HistEvent event;
    history(chat->history, &event, H_ENTER, text);
    if (chat->history_file)
        history(chat->history, &event, H_SAVE, chat->history_file);
}

/* A Ctrl-C that came too late to stop an answer is one at the prompt, which gives the line up. */
static void chat_loop(struct chat *chat)
{
    while (!chat->end && (!cli_cancelled || cli_cancelled == SIGINT)) {
        struct buf CLEAN_BUF message = BUF_INIT(CHAT_MESSAGE_MAX);
        if (!chat_read_message(chat, &message))
            break;
        struct str text = str_trim(buf_view(&message));
        if (text.n == 0)
            continue;
        chat_remember(chat, buf_text(&message));
        if (text.p[0] == '/')
            chat_command(chat, text);
        else
            chat_ask(chat, text);
    }
    if (cli_cancelled)
        cli_die(chat->cli, GFXB_E_INTERRUPTED, "interrupted");
}

static void chat_open(struct chat *chat)
{
    HistEvent event;
    const char *dir = chat->cli->data_dir;
    chat_begin(chat);
    chat->images = json_array();
    chat->line = el_init("gfxbridge", stdin, stdout, stderr);
    chat->history = history_init();
    chat->history_file = dir ? cli_keep(chat->cli, xfs_join(dir, "chat-history")) : NULL;
    if (!chat->line || !chat->history)
        xalloc_die();
    history(chat->history, &event, H_SETSIZE, CHAT_HISTORY);
    history(chat->history, &event, H_SETUNIQUE, 1);
    if (chat->history_file)
        history(chat->history, &event, H_LOAD, chat->history_file);
    el_set(chat->line, EL_CLIENTDATA, chat);
    el_set(chat->line, EL_PROMPT, chat_prompt);
    el_set(chat->line, EL_GETCFN, chat_read_key);
    el_set(chat->line, EL_EDITOR, "emacs");
    el_set(chat->line, EL_HIST, history, chat->history);
    el_set(chat->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
    /* A Ctrl-D typed while the terminal is not yet raw (before the prompt) is read as a NUL. */
    el_set(chat->line, EL_BIND, "^@", "em-delete-or-list", NULL);
    el_source(chat->line, NULL); /* ~/.editrc */
}

void chat_run(struct cli *cli, unsigned max_tokens)
{
    struct chat chat = {.cli = cli, .max_tokens = max_tokens};
    chat_open(&chat);
    text_print(stdout, "/help shows what there is beside asking; Ctrl-D ends.");
    chat_loop(&chat);
    el_end(chat.line);
    history_end(chat.history);
    json_decref(chat.request);
    json_decref(chat.images);
}

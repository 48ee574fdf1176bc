/*
 * fake_engine.c - a llama-server double that fails on demand. It stands in for faults only: what
 * can run for real is tested with the real engine.
 *
 * It reads the file "behaviour" in its working directory, one "key value" a line; without a line it
 * behaves well. Messages and device lists come from files beside it, so that a case can use the
 * very words of a real log.
 *
 *   list       ok | hang | abort | exit       what --list-devices does
 *   devices    FILE                           what it prints there on stdout
 *   said       FILE                           what it prints on stderr, there and at the start
 *   start      ok | hang | exit | abort | kill | mute | unready | flood
 *   only       NAME                           start fails as said above only on this --device
 *   unknown    WORD                           a model with this in its path is of a kind too new
 *   leaves     WORD                           a model with this in its path is left to the CPU
 *   log        FILE                           stderr of a load; lines with %D once a device
 *   reach      N                              they come for the first N devices alone
 *   map        FILE                           maps this file, as a library would be; may come twice
 *   far        FILE                           the same, of the directory that "elsewhere" names
 *   try        KIND ARGUMENT                  what a hostile engine tries, see fake_hostile.c
 *   answers    FILE                           prompt, answer as in data/canary.tsv
 *   seeded     FILE                           data/seeded.tsv
 *   wrong      WORD                           seeded answers are wrong: of this canary, with this
 *                                             argument, to prompts
 *                                             of so many tokens, to several at once (together), or
 *                                             there are none (refused)
 *   steps      other | hang               likely tokens are others on a GPU; none come from the CPU
 *   say        right | byte | garbage | babble | error | garbled | nonsense | silent | doubt |
 *              status | thought (reasoning alone, cut)
 *   word       WORD ACTION                    a request that holds the word is answered so: hang |
 *                                             die | abort | close (the connection, without a byte)
 *   at         N                              which token of its life "then" acts at; default 0
 *   then       hang | die | abort | close     what happens at that token
 *   rate       N                              tokens/s that it claims; default 5000
 *   pause      MS                             between two tokens
 *   compiles   MS N                           its first N raw completions take so much longer
 *   stop       stubborn                       SIGTERM is ignored
 *   orphan     FILE                           leaves a child, whose pid it writes there
 */
#include "fake_hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINES_MAX 64

static struct {
    char key[16], value[240];
} behaviour[LINES_MAX];
static size_t n_lines;
static const char *device = "", *model = "";
static bool argument_wrong; /* one of its arguments is what "wrong" says */

static void die(const char *what)
{
    perror(what);
    exit(99);
}

static void behaviour_read(void)
{
    FILE *file = fopen("behaviour", "re");
    while (file && n_lines < LINES_MAX &&
           fscanf(file, "%15s %239[^\n]", behaviour[n_lines].key, behaviour[n_lines].value) == 2)
        n_lines++;
    if (file)
        fclose(file);
}

static const char *get(const char *key)
{
    for (size_t i = 0; i < n_lines; i++) {
        if (strcmp(behaviour[i].key, key) == 0)
            return behaviour[i].value;
    }
    return "";
}

static bool is(const char *key, const char *value)
{
    return strcmp(get(key), value) == 0;
}

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void hang(void)
{
    for (;;)
        pause_ms(1000);
}

/* A line for one device: %D is its name, %N its number. */
static void print_line(const char *line, const char *name, FILE *to)
{
    const char *number = name + strcspn(name, "0123456789");
    for (; *line; line++) {
        if (line[0] == '%' && (line[1] == 'D' || line[1] == 'N'))
            fputs(*++line == 'D' ? name : number, to);
        else
            putc(*line, to);
    }
}

/* Print a file; lines with %D are printed once for each device that was asked for. */
static void print_file(const char *name, FILE *to)
{
    char line[4096], names[256];
    int reach = *get("reach") ? atoi(get("reach")) : INT_MAX;
    FILE *file = *name ? fopen(name, "re") : NULL;
    while (file && fgets(line, sizeof(line), file)) {
        char *rest = names, *one;
        snprintf(names, sizeof(names), "%s", strstr(line, "%D") ? device : "");
        for (int i = 0; i < reach && (one = strsep(&rest, ",")); i++)
            print_line(line, one, to);
    }
    if (file)
        fclose(file);
    fflush(to);
}

static void act(const char *what)
{
    if (strcmp(what, "hang") == 0)
        hang();
    if (strcmp(what, "abort") == 0)
        abort();
    if (strcmp(what, "kill") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(what, "exit") == 0)
        exit(1);
    if (strcmp(what, "die") == 0)
        kill(getpid(), SIGKILL);
}

static void map_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
        die(path);
    close(fd);
}

static void map_files(void)
{
    for (size_t i = 0; i < n_lines; i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", get("elsewhere"), behaviour[i].value);
        if (strcmp(behaviour[i].key, "map") == 0)
            map_file(behaviour[i].value);
        if (strcmp(behaviour[i].key, "far") == 0)
            map_file(path);
    }
}

static void try_all(void)
{
    for (size_t i = 0; i < n_lines; i++) {
        if (strcmp(behaviour[i].key, "try") == 0)
            hostile_try(behaviour[i].value);
    }
}

static void leave_orphan(void)
{
    if (!*get("orphan"))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGTERM, SIG_IGN);
        hang();
    }
    FILE *file = fopen(get("orphan"), "we");
    if (!file || fprintf(file, "%d\n", (int)pid) < 0 || fclose(file) != 0)
        die("orphan");
}

static int listen_on(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0)
        die(path);
    return fd;
}

static void send_all(int fd, const char *bytes, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return;
        bytes += sent > 0 ? sent : 0;
        n -= sent > 0 ? (size_t)sent : 0;
    }
}

static void send_text(int fd, const char *text)
{
    send_all(fd, text, strlen(text));
}

static void send_answer(int fd, const char *status, const char *body)
{
    char head[256];
    snprintf(head, sizeof(head),
             "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
             "Connection: close\r\n\r\n",
             status, strlen(body));
    send_text(fd, head);
    send_text(fd, body);
}

/* One chunk of an event stream. */
static void send_chunk(int fd, const char *text)
{
    char size[32];
    snprintf(size, sizeof(size), "%zx\r\n", strlen(text));
    send_text(fd, size);
    send_text(fd, text);
    send_text(fd, "\r\n");
}

/* The whole request into a buffer of size bytes. */
static size_t receive(int fd, char *request, size_t size)
{
    size_t n = 0, wanted = size;
    while (n < wanted && n + 1 < size) {
        ssize_t got = recv(fd, request + n, size - 1 - n, 0);
        if (got <= 0)
            break;
        n += (size_t)got;
        request[n] = '\0';
        const char *end = strstr(request, "\r\n\r\n");
        const char *length = strcasestr(request, "Content-Length:");
        if (end && wanted == size)
            wanted = (size_t)(end + 4 - request) + (length ? strtoul(length + 15, NULL, 10) : 0);
    }
    return n;
}

/* The answer of the table to the prompt in the request. */
static void find_answer(const char *request, char *answer, size_t size)
{
    static char line[65536];
    FILE *file = fopen(get("answers"), "re");
    snprintf(answer, size, "I do not know.");
    while (file && fgets(line, sizeof(line), file)) {
        char *rest = line, *field[3];
        for (int i = 0; i < 3; i++)
            field[i] = strsep(&rest, "\t");
        if (field[2] && field[1][0] && strstr(request, field[1]))
            snprintf(answer, size, "%s", field[2]);
    }
    if (file)
        fclose(file);
}

static void send_piece(int fd, const char *piece, size_t n)
{
    char event[1024], text[256];
    size_t k = 0;
    for (size_t i = 0; i < n && k + 2 < sizeof(text); i++) {
        if (piece[i] == '"' || piece[i] == '\\')
            text[k++] = '\\';
        text[k++] = piece[i];
    }
    text[k] = '\0';
    snprintf(
        event, sizeof(event),
        "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\"%s\"},"
        "\"logprobs\":{\"content\":[{\"token\":\"x\",\"logprob\":%s}]}}]}\n\n",
        text, is("say", "doubt") ? "-1.9" : "-0.001");
    send_chunk(fd, event);
}

static void spoil(char *answer, size_t size)
{
    if (is("say", "byte"))
        answer[strlen(answer) - 2] ^= 1;
    if (is("say", "garbage"))
        snprintf(answer, size, "%s", "#### GGGG #### GGGG #### GGGG ####");
    if (is("say", "babble")) {
        memset(answer, 'a', size - 1);
        answer[size - 1] = '\0';
        for (size_t i = 4; i < size - 1; i += 5)
            answer[i] = ' ';
    }
}

/* Word by word; at token `at` it does what `then` says. True when it closed the connection. */
static bool stream_answer(int fd, const char *answer)
{
    static long token; /* of all its answers */
    long at = strtol(get("at"), NULL, 10), pause = strtol(get("pause"), NULL, 10);
    while (*answer) {
        if (*get("then") && token == at) {
            if (is("then", "close"))
                return true;
            act(get("then"));
        }
        size_t n = 1 + strcspn(answer + 1, " ");
        if (n > 100)
            n = 100;
        send_piece(fd, answer, n);
        answer += n;
        token++;
        if (pause)
            pause_ms(pause);
    }
    return false;
}

static void send_whole(int fd, const char *answer)
{
    char body[4096];
    snprintf(body, sizeof(body),
             "{\"choices\":[{\"finish_reason\":\"stop\",\"index\":0,\"message\":{\"role\":"
             "\"assistant\",\"content\":\"%s\"}}],\"usage\":{\"completion_tokens\":40,"
             "\"prompt_tokens\":9}}",
             answer);
    send_answer(fd, "200 OK", body);
}

/* True when it closes the connection for a word of the request. */
static bool word_acts(const char *request)
{
    char word[240];
    const char *action;
    snprintf(word, sizeof(word), "%s", get("word"));
    size_t n = strcspn(word, " ");
    if (!n || !word[n])
        return false;
    word[n] = '\0';
    action = word + n + 1;
    if (!strstr(request, word))
        return false;
    act(action);
    return strcmp(action, "close") == 0;
}

static void chat(int fd, const char *request)
{
    static char answer[200000];
    char last[512];
    if (word_acts(request))
        return;
    if (is("say", "status")) {
        send_answer(fd, "500 Internal Server Error",
                    "{\"error\":{\"code\":500,\"message\":\"Compute error.\",\"type\":"
                    "\"server_error\"}}");
        return;
    }
    if (is("say", "nonsense")) {
        send_text(fd, "\1\2\3 this is no HTTP\r\n\r\n");
        return;
    }
    find_answer(request, answer, sizeof(answer));
    spoil(answer, sizeof(answer));
    if (strstr(request, "\"stream\": false") || strstr(request, "\"stream\":false")) {
        send_whole(fd, answer);
        return;
    }
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                  "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    send_chunk(fd, ":\n\n");
    send_chunk(fd, "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"role\":"
                   "\"assistant\",\"content\":null}}]}\n\n");
    if (is("say", "error")) {
        send_chunk(fd, "error: {\"code\":500,\"message\":\"Invalid input batch.\",\"type\":"
                       "\"server_error\"}\n\n");
        send_chunk(fd, "");
        return;
    }
    if (is("say", "garbled"))
        send_chunk(fd, "data: {\"choices\": [{]\n\n");
    if (is("say", "thought"))
        send_chunk(fd, "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{"
                       "\"reasoning_content\":\"Hm.\"}}]}\n\n");
    else if (!is("say", "silent") && stream_answer(fd, answer))
        return;
    long rate = *get("rate") ? strtol(get("rate"), NULL, 10) : 5000;
    snprintf(last, sizeof(last),
             "data: {\"choices\":[{\"finish_reason\":\"stop\",\"index\":0,\"delta\":{}}]}\n\n"
             "data: {\"choices\":[],\"usage\":{\"completion_tokens\":40,\"prompt_tokens\":9},"
             "\"timings\":{\"predicted_per_second\":%ld.5,\"prompt_per_second\":900.25}}\n\n"
             "data: [DONE]\n\n",
             rate);
    send_chunk(fd, last);
    send_text(fd, "0\r\n\r\n");
}

/* The ids of a prompt of data/seeded.tsv as JSON: src/engine/seeded.c makes them so (splitmix64).
 */
static void seeded_prompt(uint64_t state, unsigned long n, char *text)
{
    for (unsigned long i = 0; i < n; i++) {
        uint64_t z = (state += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        text += sprintf(text, "%c%u", i ? ',' : '[', 259 + (unsigned)((z ^ (z >> 31)) % 253));
    }
    sprintf(text, "]");
}

/* The answer of the model that is loaded to the prompt that begins here. */
static void seeded_answer(const char *prompt, bool together, char answer[8])
{
    static char line[4096], ids[65536];
    FILE *file = fopen(get("seeded"), "re");
    snprintf(answer, 8, "zzzz");
    while (file && fgets(line, sizeof(line), file)) {
        char name[80], *rest = line, *field[6] = {NULL};
        for (int i = 0; i < 6; i++)
            field[i] = strsep(&rest, "\t");
        snprintf(name, sizeof(name), "-%s.gguf", field[0]);
        if (line[0] == '#' || !field[5] || !strstr(model, name))
            continue;
        seeded_prompt(strtoul(field[4], NULL, 10), strtoul(field[3], NULL, 10), ids);
        bool wrong = argument_wrong || is("wrong", field[0]) || is("wrong", field[3]) ||
                     (together && is("wrong", "together"));
        if (strncmp(prompt, ids, strlen(ids)) == 0 && !wrong)
            snprintf(answer, 8, "%s", field[5]);
    }
    if (file)
        fclose(file);
}

static void complete_together(int fd, const char *prompt)
{
    char body[512] = "[", answer[8];
    size_t n = 1;
    for (const char *at = prompt + 1; at && *at == '['; at = strchr(at, ']') + 2) {
        seeded_answer(at, true, answer);
        n += (size_t)snprintf(body + n, sizeof(body) - n, "%s{\"content\":\"%s\"}",
                              n > 1 ? "," : "", answer);
    }
    snprintf(body + n, sizeof(body) - n, "]");
    send_answer(fd, "200 OK", body);
}

/* Which tokens are likely, for a text: two of them, twice. */
static void complete_steps(int fd)
{
    bool cpu = strcmp(device, "none") == 0;
    if (cpu && is("steps", "hang"))
        hang();
    const char *best = !cpu && is("steps", "other") ? "-4.5" : "-0.1";
    char step[200], body[512];
    snprintf(step, sizeof(step),
             "{\"id\":7,\"top_logprobs\":[{\"id\":7,\"logprob\":%s},{\"id\":9,\"logprob\":-3}]}",
             best);
    snprintf(body, sizeof(body),
             "{\"content\":\"aa\",\"tokens\":[7,7],\"completion_probabilities\":[%s,%s]}", step,
             step);
    send_answer(fd, "200 OK", body);
}

/* Shaders, while the first answers wait. */
static void compile(void)
{
    static long done;
    char *rest = NULL;
    long ms = strtol(get("compiles"), &rest, 10), times = strtol(rest, NULL, 10);
    if (done++ < times)
        nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* A raw completion: the counts and speeds that it claims, for a prompt of token ids. */
static void complete(int fd, const char *request)
{
    char body[512], answer[8];
    const char *prompt = strstr(request, "\"prompt\":["), *at = prompt;
    unsigned ids = prompt ? 1 : 0;
    for (; at && *at && *at != ']'; at++)
        ids += *at == ',';
    act(get("then"));
    compile();
    if (is("say", "nonsense")) {
        send_text(fd, "\1\2\3 this is no HTTP\r\n\r\n");
        return;
    }
    if (is("wrong", "refused")) {
        send_answer(fd, "500 Internal Server Error",
                    "{\"error\":{\"message\":\"Compute error.\"}}");
        return;
    }
    if (strstr(request, "\"n_probs\":")) {
        complete_steps(fd);
        return;
    }
    prompt = prompt ? prompt + strlen("\"prompt\":") : "";
    if (prompt[0] && prompt[1] == '[') {
        complete_together(fd, prompt);
        return;
    }
    seeded_answer(prompt, false, answer);
    long rate = *get("rate") ? strtol(get("rate"), NULL, 10) : 5000;
    snprintf(body, sizeof(body),
             "{\"content\":\"%s\",\"timings\":{\"prompt_n\":%u,\"prompt_per_second\":900.25,"
             "\"predicted_n\":64,\"predicted_per_second\":%ld.5}}",
             answer, ids, rate);
    send_answer(fd, "200 OK", is("say", "silent") ? "{\"content\":\"\"}" : body);
}

static void serve(int listener)
{
    static char request[1 << 20];
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        request[receive(fd, request, sizeof(request))] = '\0';
        if (is("start", "mute"))
            hang();
        if (strncmp(request, "GET /health", 11) == 0)
            send_answer(fd, is("start", "unready") ? "503 Service Unavailable" : "200 OK",
                        "{\"status\":\"ok\"}");
        else if (strncmp(request, "POST /v1/chat/completions", 25) == 0)
            chat(fd, request);
        else if (strncmp(request, "POST /tokenize", 14) == 0)
            send_answer(fd, "200 OK", "{\"tokens\":[5,6,7]}");
        else if (strncmp(request, "POST /completion", 16) == 0)
            complete(fd, request);
        else
            send_answer(fd, "404 Not Found", "{\"error\":{\"message\":\"File Not Found\"}}");
        close(fd);
    }
}

static void list_devices(void)
{
    print_file(get("said"), stderr);
    act(get("list"));
    print_file(get("devices"), stdout);
    exit(0);
}

int main(int argc, char **argv)
{
    const char *host = "";
    bool list = false;
    behaviour_read();
    for (int i = 1; i < argc; i++) {
        list = list || strcmp(argv[i], "--list-devices") == 0;
        argument_wrong |= is("wrong", argv[i]);
        if (i + 1 < argc && strcmp(argv[i], "--host") == 0)
            host = argv[i + 1];
        if (i + 1 < argc && strcmp(argv[i], "--device") == 0)
            device = argv[i + 1];
        if (i + 1 < argc && strcmp(argv[i], "-m") == 0)
            model = argv[i + 1];
    }
    try_all();
    if (list)
        list_devices();
    if (is("stop", "stubborn"))
        signal(SIGTERM, SIG_IGN);
    leave_orphan();
    map_files();
    print_file(get("said"), stderr);
    if (*get("unknown") && strstr(model, get("unknown"))) {
        fputs("error loading model: unknown model architecture: 'new'\n", stderr);
        return 1;
    }
    bool meant = !*get("only") || is("only", device);
    if (meant)
        act(get("start"));
    while (is("start", "flood")) {
        for (int i = 0; i < 1000; i++)
            fputs("all work and no play makes a dull log\n", stderr);
    }
    int listener = listen_on(host);
    if (*get("leaves") && strstr(model, get("leaves")))
        fputs("0.00.1.3 I load_tensors:   CPU_Mapped model buffer size =     1.70 MiB\n"
              "0.00.1.5 I srv  llama_server: model loaded\n",
              stderr);
    else
        print_file(get("log"), stderr);
    serve(listener);
}

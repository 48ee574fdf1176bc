/* page.c - the web page's files, which are part of the program. */
#include "api/serve.h"

#include <stdio.h>

/*
 * The page loads files from this server only. Its only inline code is what the build puts there
 * (web/policy.txt), and no other page may frame it. Texts become elements only through the DOM.
 */
extern const char page_policy[];

/* Browsers keep the files but ask each time whether they changed: files of two versions must not
 * mix. There is no opener policy, because it makes browsers change processes, which doubles the
 * time to the first paint. */
#define PAGE_HEADERS                                                                               \
    "content-security-policy: %s\r\n"                                                              \
    "x-content-type-options: nosniff\r\n"                                                          \
    "referrer-policy: no-referrer\r\n"                                                             \
    "cross-origin-resource-policy: same-origin\r\n"                                                \
    "cache-control: no-cache\r\n"

#define PAGE_SCRIPT "text/javascript; charset=utf-8"

/* Name, type, and the symbol that tools/embed.py gives it (src/api/meson.build). */
#define PAGE_FILES(X)                                                                              \
    X("index.html", "text/html; charset=utf-8", index_html)                                        \
    X("icon.svg", "image/svg+xml", icon_svg)                                                       \
    X("activity.js", PAGE_SCRIPT, activity_js)                                                     \
    X("api.js", PAGE_SCRIPT, api_js)                                                               \
    X("app.js", PAGE_SCRIPT, app_js)                                                               \
    X("backends.js", PAGE_SCRIPT, backends_js)                                                     \
    X("chat.js", PAGE_SCRIPT, chat_js)                                                             \
    X("computer.js", PAGE_SCRIPT, computer_js)                                                     \
    X("dom.js", PAGE_SCRIPT, dom_js)                                                               \
    X("jobs.js", PAGE_SCRIPT, jobs_js)                                                             \
    X("markdown.js", PAGE_SCRIPT, markdown_js)                                                     \
    X("models.js", PAGE_SCRIPT, models_js)                                                         \
    X("plot.js", PAGE_SCRIPT, plot_js)                                                             \
    X("words.js", PAGE_SCRIPT, words_js)

#define PAGE_DECLARE(name, type, symbol)                                                           \
    extern const char page_##symbol[], page_##symbol##_end[], page_##symbol##_sha256[];
PAGE_FILES(PAGE_DECLARE)

static const struct page_file {
    const char *name, *type, *bytes, *end, *sha256;
} page_files[] = {
#define PAGE_ROW(name, type, symbol)                                                               \
    {name, type, page_##symbol, page_##symbol##_end, page_##symbol##_sha256},
    PAGE_FILES(PAGE_ROW)};

/* Does a header contain this word? Weights and order are ignored. */
static bool page_names(struct http_exchange *x, const char *header, const char *word)
{
    return str_has(http_header(x, header), str_from(word));
}

static void page_send(struct http_exchange *x, const struct page_file *file)
{
    char tag[40], headers[1024];
    snprintf(tag, sizeof(tag), "\"%.32s\"", file->sha256);
    snprintf(headers, sizeof(headers), PAGE_HEADERS "etag: %s\r\n", page_policy, tag);
    bool known = page_names(x, "if-none-match", tag);
    struct str body = {file->bytes, known ? 0 : (size_t)(file->end - file->bytes)};
    http_reply(x, known ? 304 : 200, file->type, body, headers);
}

/* Ollama's clients ask here whether the server runs; browsers get the page. */
static void page_root(struct http_exchange *x)
{
    if (page_names(x, "accept", "text/html"))
        page_send(x, &page_files[0]);
    else
        http_reply(x, 200, "text/plain; charset=utf-8", STR("Ollama is running"),
                   "vary: accept\r\n");
}

static void page_named(struct http_exchange *x)
{
    struct str name = http_request(x)->rest;
    for (size_t i = 0; i < sizeof(page_files) / sizeof(page_files[0]); i++) {
        if (str_eq(name, str_from(page_files[i].name))) {
            page_send(x, &page_files[i]);
            return;
        }
    }
    http_fail(x, 404, "not_found", NULL, "The page has no such file.");
}

const struct http_route page_routes[] = {
    {HTTP_GET, "/", page_root, HTTP_NO_KEY, 0},
    {HTTP_GET, "/page/*", page_named, HTTP_NO_KEY, 0},
    {0},
};

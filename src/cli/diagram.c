/* diagram.c - paths from a card to an answer as an SVG that stands alone: steps, and where each
 * stopped. */
#include "cli/cli.h"

enum {
    DIAGRAM_TITLE = 50, /* height */
    DIAGRAM_LEFT = 24,
    STEP_WIDTH = 160,
    STEP_HEIGHT = 46,
    STEP_GAP = 14,
    LINE = 20
};

/* The beginning, with its style; @ stands for the height. */
extern const char cli_data_diagram[], cli_data_diagram_end[];

/* The text in lines of a bounded number of bytes, broken at blanks. */
static void diagram_lines(struct diagram *d, const char *text)
{
    enum { WIDE = 140 };
    while (*text) {
        size_t n = strlen(text);
        char line[WIDE + 1];
        if (n > WIDE) {
            n = WIDE;
            while (n > 1 && text[n] != ' ')
                n--;
        }
        snprintf(line, sizeof(line), "%.*s", (int)n, text);
        plot_words(&d->body, DIAGRAM_LEFT, d->y + 14, "start", line);
        d->y += LINE;
        text += n + (text[n] == ' ');
    }
}

void diagram_row(struct diagram *d, const char *heading, const char *note,
                 const struct diagram_step *step, size_t n)
{
    buf_addf(&d->body, "<g class=\"head\">");
    plot_words(&d->body, DIAGRAM_LEFT, d->y + 14, "start", heading);
    buf_add_text(&d->body, "</g>\n");
    d->y += LINE + 4;
    for (size_t i = 0; i < n; i++) {
        unsigned x = DIAGRAM_LEFT + (unsigned)i * (STEP_WIDTH + STEP_GAP);
        if (i)
            buf_addf(&d->body, "<path d=\"M%u %uh%d\"/>\n", x - STEP_GAP, d->y + STEP_HEIGHT / 2,
                     STEP_GAP);
        buf_addf(&d->body,
                 "<rect x=\"%u\" y=\"%u\" width=\"%d\" height=\"%d\" rx=\"6\" class=\"%s\"/>\n", x,
                 d->y, STEP_WIDTH, STEP_HEIGHT,
                 step[i].ok == TRI_YES  ? "good"
                 : step[i].ok == TRI_NO ? "bad"
                                        : "open");
        plot_words(&d->body, x + STEP_WIDTH / 2, d->y + 19, "middle", step[i].name);
        plot_words(&d->body, x + STEP_WIDTH / 2, d->y + 37, "middle", step[i].value);
    }
    d->y += STEP_HEIGHT + 6;
    diagram_lines(d, note);
    d->y += LINE;
}

void diagram_print(struct diagram *d, const char *title)
{
    struct buf CLEAN_BUF head = BUF_INIT(1 << 16);
    for (const char *c = cli_data_diagram; c < cli_data_diagram_end; c++) {
        if (*c == '@')
            buf_addf(&head, "%u", d->y + DIAGRAM_TITLE);
        else
            buf_add_char(&head, *c);
    }
    buf_add_text(&head, "<title>");
    plot_text(&head, title);
    buf_add_text(&head, "</title>\n<g class=\"title\">");
    plot_words(&head, DIAGRAM_LEFT, 32, "start", title);
    buf_addf(&head, "</g>\n<g transform=\"translate(0 %d)\">\n", DIAGRAM_TITLE);
    if (!buf_ok(&head) || !buf_ok(&d->body))
        xalloc_die();
    fwrite(buf_text(&head), 1, head.n, stdout);
    fwrite(buf_text(&d->body), 1, d->body.n, stdout);
    fputs("</g>\n</svg>\n", stdout);
    buf_done(&d->body);
}

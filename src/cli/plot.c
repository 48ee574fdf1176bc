/* plot.c - lines over a common axis as an SVG that stands alone. */
#include "cli/cli.h"

#include <math.h>

enum {
    PLOT_LEFT = 70,
    PLOT_RIGHT = 640, /* names of lines stand behind it */
    PLOT_TOP = 60,
    PLOT_BOTTOM = 380,
    PLOT_TICKS = 5,
};

/* The beginning, of that size, with its style. */
extern const char cli_data_plot[], cli_data_plot_end[];

/* The next of 1, 2, 5, 10, 20 ... that ticks of this size reach most with. */
static double plot_step(double most)
{
    double step = pow(10, floor(log10(most / PLOT_TICKS)));
    static const double times[] = {1, 2, 5};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        if (times[i] * step * PLOT_TICKS >= most)
            return times[i] * step;
    }
    return 10 * step;
}

void plot_text(struct buf *out, const char *text)
{
    static const struct {
        char c;
        const char *name;
    } names[] = {{'<', "&lt;"}, {'>', "&gt;"}, {'&', "&amp;"}, {'"', "&quot;"}};
    struct str rest = str_from(text);
    while (rest.n) {
        size_t n = utf8_length(rest), control = text_control(rest.p);
        const char *instead = n == 0 || control || str_starts(rest, STR("\xef\xbf\xbe")) ||
                                      str_starts(rest, STR("\xef\xbf\xbf"))
                                  ? "?"
                                  : NULL;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !instead; i++)
            instead = rest.p[0] == names[i].c ? names[i].name : NULL;
        n = control ? control : n ? n : 1;
        buf_add_str(out, instead ? str_from(instead) : (struct str){rest.p, n});
        rest = (struct str){rest.p + n, rest.n - n};
    }
}

void plot_words(struct buf *out, double x, double y, const char *anchor, const char *text)
{
    buf_addf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    plot_text(out, text);
    buf_add_text(out, "</text>\n");
}

struct plot_scale {
    double x_most, y_most, x_step, y_step;
};

static double plot_x(const struct plot_scale *s, double x)
{
    return PLOT_LEFT + x / s->x_most * (PLOT_RIGHT - PLOT_LEFT);
}

static double plot_y(const struct plot_scale *s, double y)
{
    return PLOT_BOTTOM - y / s->y_most * (PLOT_BOTTOM - PLOT_TOP);
}

static struct plot_scale plot_measure(const struct plot *plot)
{
    double x = 1, y = 1;
    for (size_t i = 0; i < plot->n_lines; i++) {
        const struct plot_line *line = &plot->line[i];
        for (size_t k = 0; k < line->n; k++) {
            x = fmax(x, line->x[k]);
            y = fmax(y, fmax(line->y[k], line->limit[k]));
        }
    }
    struct plot_scale s = {.x_step = plot_step(x), .y_step = plot_step(y)};
    s.x_most = ceil(x / s.x_step) * s.x_step;
    s.y_most = ceil(y / s.y_step) * s.y_step;
    return s;
}

static void plot_axes(const struct plot *plot, const struct plot_scale *s, struct buf *out)
{
    char text[32];
    for (double x = 0; x <= s->x_most; x += s->x_step) {
        snprintf(text, sizeof(text), "%.0f", x);
        plot_words(out, plot_x(s, x), PLOT_BOTTOM + 20, "middle", text);
    }
    for (double y = 0; y <= s->y_most + s->y_step / 2; y += s->y_step) {
        snprintf(text, sizeof(text), "%g", y);
        buf_addf(out, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>\n", PLOT_LEFT, plot_y(s, y),
                 PLOT_RIGHT);
        plot_words(out, PLOT_LEFT - 8, plot_y(s, y) + 4, "end", text);
    }
    plot_words(out, PLOT_LEFT, 26, "start", plot->title);
    plot_words(out, PLOT_LEFT, 46, "start", plot->y_name);
    plot_words(out, (PLOT_LEFT + PLOT_RIGHT) / 2.0, PLOT_BOTTOM + 44, "middle", plot->x_name);
}

/* Points that are 0 are not there. */
static void plot_path(const struct plot_line *line, const double *y, const char *class, size_t i,
                      const struct plot_scale *s, struct buf *out)
{
    bool begun = false;
    for (size_t k = 0; k < line->n; k++) {
        if (y[k] <= 0)
            continue;
        buf_addf(out, "%s%.1f %.1f", begun ? "L" : "<path d=\"M", plot_x(s, line->x[k]),
                 plot_y(s, y[k]));
        begun = true;
    }
    if (begun)
        buf_addf(out, "\" class=\"%s c%zu\"/>\n", class, i % 4);
}

static void plot_line(const struct plot_line *line, size_t i, const struct plot_scale *s,
                      struct buf *out)
{
    const double x = PLOT_RIGHT + 20, y = PLOT_TOP + 20 * (double)i;
    plot_path(line, line->limit, "limit", i, s, out);
    plot_path(line, line->y, "line", i, s, out);
    for (size_t k = 0; k < line->n; k++) {
        if (line->y[k] > 0)
            buf_addf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" class=\"line c%zu\"/>\n",
                     plot_x(s, line->x[k]), plot_y(s, line->y[k]), i % 4);
    }
    buf_addf(out, "<path d=\"M%.0f %.0fh18\" class=\"line c%zu\"/>\n", x, y, i % 4);
    plot_words(out, x + 26, y + 4, "start", line->name);
}

void plot_print(const struct plot *plot, struct buf *ret)
{
    const struct plot_scale s = plot_measure(plot);
    bool limited = false;
    buf_add(ret, cli_data_plot, (size_t)(cli_data_plot_end - cli_data_plot));
    buf_add_text(ret, "<title>");
    plot_text(ret, plot->title);
    buf_add_text(ret, "</title>\n");
    plot_axes(plot, &s, ret);
    for (size_t i = 0; i < plot->n_lines; i++) {
        plot_line(&plot->line[i], i, &s, ret);
        limited |= plot->line[i].n && plot->line[i].limit[0] > 0;
    }
    if (limited)
        plot_words(ret, PLOT_RIGHT + 20, PLOT_TOP + 20 * (double)plot->n_lines + 4, "start",
                   plot->limit_name);
    buf_add_text(ret, "</svg>\n");
}

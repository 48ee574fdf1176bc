/*
 * text.h - lines for people: wrapped to the terminal's width, in colour where that helps, in the
 * characters that the locale has. Private to cli/.
 *
 * On no terminal lines are never wrapped and never coloured, so that other programs get one line
 * for each. Colour is left out too with NO_COLOR set (no-color.org) and on TERM=dumb.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* Marks inside a line; they take no column. */
#define TEXT_HANG   "\x1f" /* continuation lines begin in this column */
#define TEXT_GOOD   "\x11" /* green: proven */
#define TEXT_WARN   "\x12" /* yellow: a warning */
#define TEXT_BAD    "\x13" /* red: what stands in the way */
#define TEXT_STRONG "\x14" /* bold: the answer */
#define TEXT_FAINT  "\x15" /* grey: evidence */
#define TEXT_END    "\x16" /* back to plain */

/* Columns of the terminal that out is; without one COLUMNS where it is set, else 0: endless. */
size_t text_width(FILE *out);

/*
 * Print whole lines with marks. Without TEXT_HANG continuation lines begin where the line's text
 * does. Control characters of foreign text become '?'. Write errors stay in the stream's flag.
 */
void text_print(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same to so many columns, whatever out is; 0: endless. */
void text_wrap(FILE *out, size_t width, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Switch to the style of a mark, for text that is written directly. */
void text_style(FILE *out, const char *mark);

#endif

/*
 * page.h - the web page at "/": its files, kept in the program.
 */
#ifndef API_PAGE_PAGE_H
#define API_PAGE_PAGE_H

#include "api/api.h"

/* GET / and GET /page/NAME, without a key: what needs one is asked for by the page's scripts. */
extern const struct http_route page_routes[];

#endif

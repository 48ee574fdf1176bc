/* doctor.h - what the files of doctor share. Private to report/. */
#ifndef REPORT_DOCTOR_H
#define REPORT_DOCTOR_H

#include "report/report.h"

void doctor_tell(const struct doctor_case *c, const char *code, enum doctor_severity severity,
                 const char *what, const char *why, const char *remedy);

/* How an argument gets onto the kernel's command line of this distribution, or off it, as a
 * command, appended to *ret. */
void doctor_kernel_argument(const struct doctor_case *c, const char *argument, bool away,
                            struct buf *ret);

/* Checks of doctor_host.c. */
void doctor_check_sandbox(const struct doctor_case *c);
void doctor_check_driver(const struct doctor_case *c);
void doctor_check_port(const struct doctor_case *c);

#endif

/*
 * manifest.h - package.manifest, the text file that makes a directory a package: first line
 * "gfxbridge-package 1", then one "key value" a line. Unknown keys are skipped, so that an older
 * gfxbridge reads a newer one's packages. Private to package/.
 */
#ifndef PACKAGE_MANIFEST_H
#define PACKAGE_MANIFEST_H

#include "package/package.h"

#define MANIFEST_NAME "package.manifest"

/* Write dir/package.manifest. facts: further "key value\n" lines for people (where the parts came
 * from); may be empty. -EINVAL when a value holds a control character or a required one is missing.
 */
int manifest_write(const char *dir, const struct package *package, struct str facts,
                   struct gfxb_error *err);

/* Read it back; ret_package is owned by the caller (manifest_package_done). dir is set from dir,
 * pinned is false. -ENOENT: no manifest; -EBADMSG: not one that this program understands. */
int manifest_read(const char *dir, struct package *ret_package);

void manifest_package_done(struct package *package);

#endif

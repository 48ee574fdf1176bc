/* recipe.h - from unpacked .deb files to a package that starts from where it is. Private to
 * package/. */
#ifndef PACKAGE_APT_RECIPE_H
#define PACKAGE_APT_RECIPE_H

#include "package/package.h"

/*
 * What the engine in a package is started by. Changes of it change every package's digest: a
 * package made by an older recipe is not taken for the same.
 */
#define DEBIAN_RECIPE 1u

/*
 * Find loader, library directories, executable and backend directory below dir and put them into
 * *package (executable, loader, library_path, backend_dir; owned by it), whose engine is filled.
 * Removes documents and translations but no licences, and changes one thing: the backend directory
 * that is compiled into the engine is made a path that cannot exist, or a host that has the
 * distribution's own backends would have them loaded into this engine, whatever their version.
 * package-unavailable: something is missing.
 */
int debian_recipe_apply(const char *dir, struct package *package, struct gfxb_error *err);

#endif

"""A captured machine as a tree of files, for tests that need a directory to mount or to change."""
import os


def unpack(machine, top):
    """Write the files, links and directories of a .machine file below top; device nodes are left
    out."""
    target = None
    with open(machine, encoding="utf-8") as f:
        for line in f.read().splitlines():
            if line.startswith("    ") and target:
                with open(target, "a", encoding="utf-8") as out:
                    out.write(line[4:] + "\n")
                continue
            words = line.split(" ", 2)
            target = None
            if words[0] not in ("file", "link", "dir"):
                continue
            place = os.path.join(top, words[1].lstrip("/"))
            os.makedirs(place if words[0] == "dir" else os.path.dirname(place), exist_ok=True)
            if words[0] == "link":
                os.symlink(words[2], place)
            elif words[0] == "file":
                target = place
                with open(place, "w", encoding="utf-8") as out:
                    out.write(words[2] + "\n" if len(words) > 2 else "")

"""Which files the rules look at, and how a C file falls apart into functions."""
import os
import re
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def c_files(*folders):
    """C sources and headers below the folders, known to git or not yet, ignored ones left out."""
    listed = subprocess.run(
        ["git", "-C", TOP, "ls-files", "--cached", "--others", "--exclude-standard", *folders],
        capture_output=True, text=True, check=True).stdout.split()
    return [f for f in sorted(set(listed))
            if f.endswith((".c", ".h")) and os.path.exists(os.path.join(TOP, f))]


def lines(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read().split("\n")


def functions(path):
    """(name, first line, last line) of each function: the formatter puts its braces in column 0."""
    text = lines(path)
    start = None
    for number, line in enumerate(text, 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            name = "?"
            for back in range(start - 2, max(start - 12, -1), -1):
                found = re.match(r"^[A-Za-z_].*?([A-Za-z_0-9]+)\(", text[back])
                if found:
                    name = found.group(1)
                    break
            yield name, start, number
            start = None

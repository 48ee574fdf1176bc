#!/usr/bin/env python3
"""terminal.py GFXBRIDGE [--update]: what a person sees at 60, 80 and 200 columns, on a dumb
terminal, with NO_COLOR, in a locale without UTF-8, and what another program gets from a pipe.

Each is compared with a file of tests/golden; --update writes them anew, to be looked at with git.
"""
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import PROGRAM, SOURCE, call, machine  # noqa: E402

UPDATE = "--update" in sys.argv
GOLDEN = os.path.join(SOURCE, "tests", "golden")
ESCAPE = re.compile(r"\x1b\[[0-9]+m")
COMMANDS = {
    "detect": ["detect", "--sysroot", machine("docker-no-group")],
    "plan": ["plan", "--sysroot", machine("rx7900xtx-raphael")],
    "doctor": ["doctor", "--sysroot", machine("docker-no-group")],
    "explain": ["explain", "Radeon 780M"],
    "overview": ["--sysroot", machine("rx7900xtx-raphael")],
    "demo": ["demo"],
    "help": ["--help"],
    "help-run": ["run", "--help"],
}
PLAIN = {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}


def on_terminal(arguments, columns, env):
    """What it prints on a terminal of so many columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LANG")}
    child = subprocess.Popen([PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=follower,
                             stderr=follower, env={**clean, **PLAIN, **env})
    os.close(follower)
    text = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(leader)
    assert child.wait(30) in (0, 1), text
    return text.decode().replace("\r\n", "\n")


def compare(name, text):
    path = os.path.join(GOLDEN, name + ".txt")
    if UPDATE:
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    with open(path, encoding="utf-8") as f:
        wanted = f.read()
    assert text == wanted, f"{name} differs from tests/golden/{name}.txt:\n{text}"


def widths(name):
    def case():
        for columns in (60, 80, 200):
            text = on_terminal(COMMANDS[name], columns, {"NO_COLOR": "1"})
            assert "\x1b" not in text, "escape sequences in spite of NO_COLOR"
            for line in text.splitlines():
                # A word alone on its line may be longer: nothing that is copied is cut in two.
                assert len(line) <= columns or len(line.split()) == 1, f"{columns}: {line!r}"
            compare(f"{name}.{columns}", text)
    return case


def colour_is_extra():
    """Colour changes nothing but the colour, and a dumb terminal gets none."""
    for name, arguments in COMMANDS.items():
        coloured = on_terminal(arguments, 80, {})
        assert ESCAPE.sub("", coloured) == on_terminal(arguments, 80, {"NO_COLOR": "1"})
        assert "\x1b" not in on_terminal(arguments, 80, {"TERM": "dumb"})
    assert ESCAPE.search(on_terminal(COMMANDS["doctor"], 80, {}))


def pipe_gets_whole_lines():
    for name, arguments in COMMANDS.items():
        text = call(*arguments, code=(0, 1), env=PLAIN).stdout
        assert "\x1b" not in text
        compare(name + ".pipe", text)
    reason = [line for line in call(*COMMANDS["doctor"], code=1).stdout.splitlines()
              if "may not be opened" in line]
    assert all(line.endswith(".") for line in reason), reason


def foreign_locale_gets_its_characters():
    """In the C locale everything is ASCII; a foreign control character steers no terminal."""
    for arguments in COMMANDS.values():
        text = on_terminal(arguments, 80, {"LC_ALL": "C"})
        assert text.isascii(), [c for c in text if not c.isascii()]
    done = call("explain", "no \x1b[31mcard\x07 é", code=1, env={"LC_ALL": "C"})
    assert "\x1b" not in done.stderr and done.stderr.isascii()
    done = call("plan", "--gpu", "\x1b[31m\x07 é", code=2, env={"LC_ALL": "C"})
    assert "\x1b" not in done.stderr and "\x07" not in done.stderr and done.stderr.isascii()
    assert "?" in done.stderr


tap.run([(f"{name} at 60, 80 and 200 columns", widths(name)) for name in COMMANDS] + [
    ("colour is only colour", colour_is_extra),
    ("a pipe gets whole lines", pipe_gets_whole_lines),
    ("another locale gets its own characters, a terminal nothing foreign",
     foreign_locale_gets_its_characters),
])

#!/usr/bin/env python3
"""chat.py GFXBRIDGE: a conversation on a terminal, with the real engine and the canary."""
import os
import shutil
import struct
import sys
import tempfile
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import PROGRAM, call  # noqa: E402
from terminal import Terminal  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge chat ")
DATA = os.path.join(TOP, "data")
QUESTION = "Which gfx is the Radeon RX 7900 XT?"
ANSWER = "The Radeon RX 7900 XT is gfx1100."


def prepare():
    done = call("--data-dir", DATA, "run", "--backend", "cpu", QUESTION, code=None, timeout=600)
    if done.returncode != 0 and "offline" in done.stderr + str(done.returncode):
        raise tap.Skip(done.stderr.strip().splitlines()[-1])
    assert ANSWER in done.stdout, done.stderr


def start():
    if not os.path.isdir(os.path.join(DATA, "packages")):
        raise tap.Skip("no engine is installed")
    terminal = Terminal([PROGRAM, "--data-dir", DATA, "run", "--backend", "cpu"])
    terminal.expect(r"/help shows")
    terminal.expect(r">>> ")
    return terminal


def asks_and_ends():
    t = start()
    t.type(QUESTION + "\n")
    t.expect(ANSWER.replace(".", r"\."))
    t.expect(">>> ")
    t.type("\x04")
    assert t.end() == 0, t.seen


def ends_when_asked_beforehand():
    t = start()
    t.type(QUESTION + "\n")
    t.expect(r"XT\?\n")
    t.type("\x04")  # while it answers: the terminal is not raw then
    t.expect(ANSWER)
    assert t.end() == 0, t.seen


def words_with_a_slash():
    t = start()
    t.type("/help\n")
    for word in ("/path", "/image", "/clear", "/bye"):
        t.expect(word)
    t.expect(">>> ")
    t.type("/path\n")
    t.expect("path: cpu on CPU")
    t.type("/nonsense\n")
    t.expect("There is no /nonsense")
    t.type("/clear\n")
    t.expect("New conversation")
    t.type("/bye\n")
    assert t.end() == 0, t.seen


def several_lines():
    t = start()
    t.type("Which gfx is the \\\n")
    t.expect(r"\.\.\. ")
    t.type("Radeon RX 7900 XT?\n")
    t.expect(">>> ")
    t.type('"""Which gfx is\n')
    t.expect(r"\.\.\. ")
    t.type('the Radeon RX 7900 XT?"""\n')
    t.expect(">>> ")
    t.type("\x04")
    assert t.end() == 0, t.seen


def interrupt_stops_the_answer_only():
    t = start()
    t.type("half a line")
    t.expect("half a line")
    t.interrupt()
    t.expect(">>> ")
    t.wait_raw()  # else the terminal itself echoes, and a Ctrl-C throws away what is in its queue
    t.type(QUESTION + "\n")
    t.expect(r"XT\?\n")  # taken
    t.interrupt()
    t.expect(r"\(stopped\)|gfx1100")
    t.expect(">>> ")
    t.type("/bye\n")
    assert t.end() == 0, t.seen


def history_is_kept():
    t = start()
    t.type("/clear\n")
    t.expect("New conversation")
    t.expect(">>> ")
    t.type("\x04")
    assert t.end() == 0
    t = start()
    t.type("\x1b[A")
    t.expect("/clear")
    t.type("\n")
    t.expect("New conversation")
    t.type("\x04")
    assert t.end() == 0
    mode = os.stat(os.path.join(DATA, "chat-history")).st_mode & 0o777
    assert mode == 0o600, oct(mode)


def pictures_are_looked_at_first():
    t = start()
    png = os.path.join(TOP, "a picture.png")
    chunk = struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    with open(png, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", zlib.crc32(chunk[4:])))
    t.type("/image /etc/passwd\n")
    t.expect("no PNG, JPEG, WebP or GIF")
    t.type("/image /no/such/file\n")
    t.expect("cannot read the picture")
    t.type(f"/image {png}\n")
    t.expect("goes with your next message")
    t.expect(">>> ")
    t.type("What is this?\n")
    t.expect("gfxbridge: ")  # the canary sees nothing: the engine's own words, and the chat goes on
    t.expect(">>> ")
    t.type(QUESTION + "\n")
    t.expect(ANSWER)
    t.type("\x04")
    assert t.end() == 0, t.seen


try:
    tap.run([
        ("an engine is installed", prepare),
        ("it asks, answers and ends", asks_and_ends),
        ("a Ctrl-D typed ahead ends it after the answer", ends_when_asked_beforehand),
        ("words that begin with a slash", words_with_a_slash),
        ("a message of several lines", several_lines),
        ("Ctrl-C stops the answer, not the program", interrupt_stops_the_answer_only),
        ("the history is kept, for its owner alone", history_is_kept),
        ("pictures are looked at before they are sent", pictures_are_looked_at_first),
    ])
finally:
    shutil.rmtree(TOP, ignore_errors=True)

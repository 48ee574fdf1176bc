#!/usr/bin/env python3
"""newcomer.py GFXBRIDGE: walks of somebody who knows nothing but what the screen says.

Each types on a terminal of its own and goes on by the words that were shown: a remedy is typed as it
was printed. The walk of a permission that is missing, and of its remedy, is permission.py.
"""
import os
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hub_world  # noqa: E402
import mirror_world  # noqa: E402
import tap  # noqa: E402
from gfxbridge import PROGRAM, SOURCE, machine  # noqa: E402
from terminal import Terminal  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge newcomer ")
HOME = os.path.join(TOP, "home")
BIN = os.path.join(TOP, "bin")
ENV = {"HOME": HOME, "PATH": BIN + ":" + os.environ["PATH"], "XDG_DATA_HOME": "",
       "XDG_CACHE_HOME": "", "HF_HOME": "", "COLUMNS": ""}
QUESTION = "Which gfx is the Radeon RX 7900 XT?"


class AnyOf:
    """Equal to each of these exit codes."""

    def __init__(self, *codes):
        self.codes = codes

    def __eq__(self, other):
        return other in self.codes


def type_line(line, pattern=None, seconds=600, code=0, env=None):
    """A shell command as it is typed; the screen up to its end."""
    clean = {k: v for k, v in {**ENV, **(env or {})}.items() if v}
    t = Terminal(["sh", "-c", line], columns=100, env=clean)
    if pattern:
        t.expect(pattern, seconds)
    status = t.end(seconds)
    assert status == code, f"{line}: exit code {status}\n{t.seen}"
    return t.seen


def unwrapped(screen):
    return re.sub(r"\n +", " ", screen)


def first_run():
    """The first command of the README. The screen says what is fetched, and by which path it went."""
    screen = type_line(f'gfxbridge run "{QUESTION}"', code=AnyOf(0, 3))
    if "no backend can be used" in unwrapped(screen):
        raise tap.Skip("the distribution's archive is out of reach")
    for words in ("installing", "fetching", "The Radeon RX 7900 XT is gfx1100.",
                  "proven on this computer"):
        assert words in unwrapped(screen), (words, screen)


def no_radeon_here():
    """Without a Radeon: the program without a word, then the demo, which is told apart from this computer."""
    screen = unwrapped(type_line("gfxbridge"))
    assert len(screen.strip().splitlines()) <= 6 and "Next" in screen, screen
    assert "  demo " in type_line("gfxbridge --help")
    screen = unwrapped(type_line("gfxbridge demo"))
    for words in ("This is a demo", "not yours", "RX 7900 XTX", "gfx1100", "llamacpp-rocm"):
        assert words in screen, (words, screen)
    steps = re.findall(r"^\$ (gfxbridge.*?)\s*$", screen, re.M)
    assert len(steps) == 4, steps
    for step in steps:  # what the demo shows can be typed here as well
        type_line(step, code=AnyOf(0, 1, 3))


def first_real_model():
    """A name from nowhere: the sentence says how to get it; then it is there, and answers."""
    if not os.path.isdir(os.path.join(HOME, ".local/share/gfxbridge/packages")):
        raise tap.Skip("no engine is installed")
    if not (shutil.which("nginx") or mirror_world.NGINX):
        raise tap.Skip("nginx is not here")
    world = hub_world.World(tempfile.mkdtemp(prefix="gfxbridge-newcomer-"))
    try:
        world.start()
        with open(os.path.join(SOURCE, "data", "canary.gguf"), "rb") as f:
            world.publish("someone/tiny-GGUF", {"tiny-Q4_K_M.gguf": f.read()})
        env = {"HF_ENDPOINT": world.hub, "GFXBRIDGE_CA_FILE": world.ca}
        screen = unwrapped(type_line(f'gfxbridge run someone/tiny-GGUF "{QUESTION}"', code=1,
                                     env=env))
        remedy = re.search(r"gfxbridge pull \S+[\w]", screen)
        assert remedy, screen
        assert "someone/tiny-GGUF" in type_line(remedy.group(0), env=env)
        listed = type_line("gfxbridge list", env=env)
        name = re.search(r"someone/tiny-GGUF\S*", listed).group(0)
        assert "gfx1100" in type_line(f'gfxbridge run "{name}" "{QUESTION}"', env=env)
        shown = type_line(f'gfxbridge show "{name}"', env=env)
        assert "llama" in shown, shown
    finally:
        world.stop()
        shutil.rmtree(world.top, ignore_errors=True)


def why_not_rocm():
    """Three computers, three causes; each screen names its own and what to do."""
    for name, words in (("docker-no-group", ("kfd-permission", "--group-add 992")),
                        ("hd7970-radeon", ("driver-not-amdgpu",)),
                        ("no-gpu-vm", ("no-gpu",))):
        path = machine(name)
        plan = unwrapped(type_line(f'gfxbridge plan --sysroot "{path}"', code=AnyOf(0, 3)))
        reason = re.search(r"rocm +rejected[^\n]*", plan)
        assert reason and words[0] in reason.group(0), plan
        doctor = unwrapped(type_line(f'gfxbridge doctor --sysroot "{path}"', code=AnyOf(0, 1)))
        for word in words:
            assert word in doctor, (name, word, doctor)


def a_card_from_a_capture():
    """docs/adding-a-card.md: a capture whose card no table names; one row, and it has its name."""
    capture = os.path.join(TOP, "new card.machine")
    shutil.copy(machine("unknown-card-gc"), capture)
    screen = type_line(f'gfxbridge detect --sysroot "{capture}"')
    device = re.search(r"1002:([0-9a-f]{4})", screen).group(1)
    gfx = re.search(r"gfx[0-9a-f]+", screen).group(0)
    config = os.path.join(HOME, ".config", "gfxbridge")
    os.makedirs(config, exist_ok=True)
    with open(os.path.join(SOURCE, "data", "cards.tsv"), encoding="utf-8") as f:
        cards = f.read()
    cells = next(line for line in cards.splitlines() if f"\t{gfx}\t" in line).split("\t")
    cells[:3] = [device, "*", "Radeon of the day after"]
    mine = os.path.join(config, "cards.tsv")
    with open(mine, "w", encoding="utf-8") as f:
        lines = cards.splitlines()
        place = next(n for n, line in enumerate(lines) if re.match("[0-9a-f]{4}\t", line) and
                     line[:4] > device)  # rows are sorted by device id
        f.write("\n".join(lines[:place] + ["\t".join(cells)] + lines[place:]) + "\n")
    assert "the tables hold" in type_line(f'gfxbridge table "{mine}"')
    screen = unwrapped(type_line(f'gfxbridge detect --sysroot "{capture}"'))
    assert "Radeon of the day after" in screen and "note:" not in screen, screen
    assert gfx in type_line(f"gfxbridge explain 1002:{device}")
    os.remove(mine)


def main():
    os.makedirs(HOME)
    os.makedirs(BIN)
    os.symlink(PROGRAM, os.path.join(BIN, "gfxbridge"))
    try:
        tap.run([
            ("the first run: an answer, the path, the reasons", first_run),
            ("no Radeon here: the demo, and the same on this computer", no_radeon_here),
            ("the first real model, from the words on the screen", first_real_model),
            ("why not ROCm, on three computers", why_not_rocm),
            ("a card from a capture: one row", a_card_from_a_capture),
        ])
    finally:
        shutil.rmtree(TOP, ignore_errors=True)


main()

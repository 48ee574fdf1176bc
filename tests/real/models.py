#!/usr/bin/env python3
"""models.py GFXBRIDGE: what gfxbridge says of a model's file, beside what the real engine does.

The engine is the distribution's llama-server; Vulkan is lavapipe. Models are made here: real
architectures and tensors, weights of zeros. GFXB_TEST_DATA names a data directory with the engine, to
save the installation.
"""
import atexit
import concurrent.futures
import os
import random
import re
import shutil
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import gguf  # noqa: E402
import tap  # noqa: E402
from engine import Engine, buffers  # noqa: E402
from gfxbridge import answer, call  # noqa: E402
from server import Server  # noqa: E402
from wait import wait_until  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge-models-")
atexit.register(shutil.rmtree, TOP, ignore_errors=True)
DATA = os.environ.get("GFXB_TEST_DATA") or os.path.join(TOP, "data")
ENGINE = []
MIB = 1024 * 1024
CONTEXT = 8192

# ---- refusals ----

# The engine reads these as well-formed and then misses a meaning: no question of structure.
MEANINGS = ("missing tensor", "key not found in model", "unknown model architecture",
            "has wrong shape", "wrong number of tensors", "unknown pre-tokenizer",
            "unknown tokenizer")


def engine():
    if not ENGINE:
        ENGINE.append(Engine(DATA))
        atexit.register(ENGINE[0].done)
    return ENGINE[0]


def judged(path):
    """None when gfxbridge accepts the file, else its sentence."""
    done = call("plan", "--backend", "cpu", "--no-network", "--data-dir", os.path.join(TOP, "none"),
                "--model", path, code=(0, 1, 3))
    return done.stderr if done.returncode == 1 else None


def changed(**changes):
    """A tiny model with other keys: None takes one away."""
    f = gguf.tiny()
    for key, entry in changes.items():
        key = key.replace("__", ".")
        if entry is None:
            del f.keys[key]
        else:
            f.keys[key] = entry
    return whole(f)


def whole(f):
    path = os.path.join(TOP, "one.gguf")
    f.write(path)
    with open(path, "rb") as made:
        return made.read()


def patched(data, at, *pieces):
    out = bytearray(data)
    for piece in pieces:
        out[at:at + len(piece)] = piece
        at += len(piece)
    return bytes(out)


def broken_keys():
    u32, u64, text = gguf.U32, gguf.U64, gguf.STRING
    for name in ("context_length", "embedding_length", "block_count", "attention.head_count",
                 "feed_forward_length"):
        key = "llama__" + name.replace(".", "__")
        for entry in ((u64, 64), (gguf.F32T, 64.0), (text, "64"), (u32, 0), (u32, 0xffffffff)):
            if name == "feed_forward_length" and entry == (u32, 0):
                continue
            yield f"{name} {entry}", changed(**{key: entry})
        yield f"{name} as list", changed(**{key: gguf.Array(u32, [4])})
    for name in ("context_length", "embedding_length", "block_count"):
        yield f"no {name}", changed(**{"llama__" + name: None})
    for number in (3, 5, 64):
        yield f"heads_kv {number}", changed(llama__attention__head_count_kv=(u32, number))
    for alignment in ((u32, 0), (u32, 3), (u32, 33), (text, "32"), (u64, 32), (u32, 1 << 31)):
        yield f"alignment {alignment}", changed(general__alignment=alignment)
    yield "no tokenizer", changed(tokenizer__ggml__model=None)
    yield "no tokens", changed(tokenizer__ggml__tokens=None)
    yield "tokens are numbers", changed(tokenizer__ggml__tokens=gguf.Array(u32, [1] * 320))
    yield "fewer tokens", changed(tokenizer__ggml__tokens=gguf.Array(text, ["a", "b"]))
    yield "fewer scores", changed(tokenizer__ggml__scores=gguf.Array(gguf.F32T, [0.0]))
    yield "fewer types", changed(tokenizer__ggml__token_type=gguf.Array(gguf.I32, [1]))
    yield "types are texts", changed(tokenizer__ggml__token_type=gguf.Array(text, ["a"] * 320))
    yield "no architecture", changed(general__architecture=None)
    yield "architecture is a number", changed(general__architecture=(u32, 7))
    for kind in ("adapter", "mmproj"):
        f = gguf.projector() if kind == "mmproj" else gguf.File("llama")
        f.keys["general.type"] = (text, kind)
        f.tensors = f.tensors[:2] or [("blk.0.attn_q.weight.lora_a", (64, 4), gguf.F32)]
        yield kind, whole(f)
    yield "a part without the other", changed(split__no=(gguf.U16, 0), split__count=(gguf.U16, 2),
                                              split__tensors__count=(gguf.I32, 50))
    yield "the second part", changed(split__no=(gguf.U16, 1), split__count=(gguf.U16, 2),
                                     split__tensors__count=(gguf.I32, 50))


def broken_tensors():
    good, bad = gguf.tiny, {}
    for place in (0, 1, 5, 10):
        for name, change in (
                ("five dimensions", lambda t: (t[0], (*t[1], 1, 1, 1, 1), t[2])),
                ("no row", lambda t: (t[0], (0, *t[1][1:]), t[2])),
                ("negative", lambda t: (t[0], (t[1][0], -1), t[2])),
                ("more than there is", lambda t: (t[0], (t[1][0], 1 << 40), t[2])),
                ("overflow", lambda t: (t[0], (1 << 32, 1 << 32), t[2])),
                ("unknown type", lambda t: (t[0], t[1], (99, t[2][1], t[2][2]))),
                ("removed type", lambda t: (t[0], t[1], (4, t[2][1], t[2][2]))),
                ("long name", lambda t: ("x" * 64, t[1], t[2])),
                ("twice", lambda t: (good().tensors[-1][0], t[1], t[2])),
                ("of a layer behind the last", lambda t: ("blk.9.attn_q.weight", t[1], t[2]))):
            f = good()
            f.tensors[place] = change(f.tensors[place])
            bad[f"tensor {place}: {name}"] = f
    for name, f in bad.items():
        header, _ = f.header()
        yield name, header + bytes(160000)
    f = good()
    f.tensors = f.tensors[1:]
    yield "no token embeddings", whole(f)
    f = good()
    f.tensors[0] = ("token_embd.weight", (32, 640), gguf.F32)
    yield "embeddings of another shape", whole(f)


def broken_bytes():
    data = whole(gguf.tiny())
    header = len(gguf.tiny().header()[0])
    for n in (0, 1, 3, 4, 7, 8, 15, 16, 23, 24, 25, 31, 40, 60, 100, 500, 2000, header - 100,
              header - 1, header, header + 31, len(data) // 2, len(data) - 9000, len(data) - 33):
        yield f"cut at {n}", data[:n]
    for name, number in (("0", 0), ("1", 1), ("4", 4), ("big-endian", 3 << 24), ("huge", 1 << 31)):
        yield f"version {name}", patched(data, 4, struct.pack("<I", number))
    for magic in (b"GGML", b"gguf", b"\0\0\0\0", b"PK\3\4", b"<htm"):
        yield f"magic {magic}", patched(data, 0, magic)
    for number in (-1, 1 << 62, 1 << 40, 1 << 31, 1000, 22):
        yield f"{number} tensors", patched(data, 8, struct.pack("<q", number))
        yield f"{number} keys", patched(data, 16, struct.pack("<q", number))
    for number in (1 << 63, 1 << 40, 1 << 31, len(data), 3, 0):
        yield f"a key of {number} bytes", patched(data, 24, struct.pack("<Q", number))
    at = 24 + 8 + len("general.architecture")
    for number in (9, 13, 99, 1 << 31, 0, 4):
        yield f"a value of type {number}", patched(data, at, struct.pack("<I", number))
    for number in (1 << 63, 1 << 40, len(data)):
        yield f"a text of {number} bytes", patched(data, at + 4, struct.pack("<Q", number))
    # Places of tensors: the last 8 bytes of every description.
    f = gguf.tiny()
    place = header
    for name, dims, _ in reversed(f.tensors[12:]):
        place -= 8
        old, = struct.unpack_from("<Q", data, place)
        for number in (old + 32, old + 1, old - 32, 1 << 62):
            yield f"{name} at {number}", patched(data, place, struct.pack("<Q", number % (1 << 64)))
        place -= 4 + 8 * len(dims) + 4 + 8 + len(name)


def broken_bits(n):
    """Single bits of the header, by a seed."""
    data = whole(gguf.tiny())
    header = len(gguf.tiny().header()[0])
    dice = random.Random(6)
    for _ in range(n):
        at, bit = dice.randrange(header), dice.randrange(8)
        yield f"bit {bit} of byte {at}", patched(data, at, bytes([data[at] ^ (1 << bit)]))


def compare(name, data, path):
    """(name, ours, the engine's refusal or None)"""
    with open(path, "wb") as f:
        f.write(data)
    ours = judged(path)
    loaded, log = engine().load(path, "-c", "512")
    os.unlink(path)
    errors = [line for line in log.splitlines() if " E " in line or "error" in line.lower()]
    return name, ours, None if loaded else "\n".join(errors[:4]) or "crashed: " + log[-300:]


def refusals():
    cases = [*broken_keys(), *broken_tensors(), *broken_bytes()]
    cases += list(broken_bits(max(40, 200 - len(cases))))
    assert len(cases) >= 200, len(cases)
    engine()
    wrong, stricter, meanings, both = [], [], 0, 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(compare, name, data, os.path.join(TOP, f"broken-{i}.gguf"))
                for i, (name, data) in enumerate(cases)]
        for job in jobs:
            name, ours, engines = job.result()
            if ours is not None and engines is not None:
                both += 1
            elif ours is not None:
                stricter.append(f"{name}: {ours.strip()}")
            elif engines is not None and any(words in engines for words in MEANINGS):
                meanings += 1
            elif engines is not None:
                wrong.append(f"{name}: {engines}")
    print(f"# {len(cases)} broken files: {both} refused by both, {len(stricter)} by gfxbridge alone, "
          f"{meanings} of good structure refused by the engine for their meaning")
    for line in stricter:
        print("#   stricter:", line)
    assert not wrong, "accepted, and refused by the engine:\n" + "\n".join(wrong)
    assert len(stricter) < len(cases) // 8, "gfxbridge refuses much that the engine loads"


def accepts_good():
    for name, path in models().items():
        if name == "projector":
            assert "is a projector" in judged(path)
        else:
            assert judged(path) is None, name
    tiny = os.path.join(TOP, "tiny.gguf")
    gguf.tiny().write(tiny)
    assert judged(tiny) is None
    assert engine().load(tiny, "-c", "512")[0]


# ---- fit ----

MODELS = {}


def models():
    if not MODELS:
        MODELS.update(gguf.write_all(os.path.join(TOP, "models")))
    return MODELS


def planned(path, backend, context):
    plan = answer("plan", "--backend", backend, "--model", path, "--context", str(context),
                  "--data-dir", DATA)
    choice = plan["choices"][plan["chosen"]]
    assert choice["context"] == context and choice["backend"] == backend
    gpu = backend != "cpu"
    return (choice["need_bytes"] / MIB if gpu else 0.0,
            (choice["host_bytes"] if gpu else choice["need_bytes"]) / MIB, choice["slots"])


def within(name, estimate, seen, kinds, least=0.97):
    ratio = estimate / seen
    print(f"# {name}: estimated {estimate:.1f} MiB, engine {seen:.1f} MiB ({ratio:.3f}) {kinds}")
    assert least <= ratio <= 1.10, f"{name}: {estimate:.1f} against {seen:.1f} MiB"


def fit(shape, software, context):
    path = models()[shape]
    context = min(context, 512) if shape == "embedding" else context
    gpu, host, slots = planned(path, "vulkan-software" if software else "cpu", context)
    arguments = ["-c", str(context * slots), "-np", str(slots)]
    if shape == "embedding":
        arguments += ["--embeddings", "-b", str(context), "-ub", str(context)]
    loaded, log = engine().load(path, *arguments, software=software)
    assert loaded, log[-2000:]
    seen = buffers(log)
    for place, estimate in (("gpu", gpu), ("host", host)):
        parts = {kind: mib for (where, kind), mib in seen.items() if where == place}
        if estimate or parts:
            # With several slots lavapipe leaves 22 MiB more of latent attention to the host; why is not known.
            odd = software and (shape, place) == ("latent", "host")
            within(f"{shape} {place} {context}", estimate, sum(parts.values()), parts, 0.95 if odd else 0.97)


def sees():
    """The projector takes what its file has, by the engine's own estimate."""
    path = models()["projector"]
    loaded, log = engine().load(models()["vision"], "-c", "512", "--mmproj", path)
    assert loaded, log[-2000:]
    said = re.search(r"memory usage of mmproj is ([\d.]+) MiB", log)
    assert said, "the engine does not say what the projector takes"
    within("projector", os.path.getsize(path) / MIB, float(said.group(1)), "")


def words_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        return f.read().decode().split("\0")[:-1]


def served_as_shown():
    """The server's engine has each argument that show names, once, and the projector."""
    engine()  # which installs it
    projector = os.path.join(TOP, "mmproj-vision.gguf")
    os.symlink(models()["projector"], projector)
    s = Server(DATA)
    try:
        for shape, *more in (("vision", "--mmproj", projector), ("embedding",)):
            call("--data-dir", DATA, "import", models()[shape], "--name", shape, *more)
            wanted = answer("show", "--data-dir", DATA, shape)["launch"]["command_line"]
            assert "--mmproj" in wanted if more else "--embeddings" in wanted, wanted
            s.command("load", shape)
            words = words_of(s.engine_pid())
            for option in (word for word in wanted if word.startswith("-")):
                at = words.index(option)
                value = wanted[wanted.index(option) + 1:][:1]
                assert words.count(option) == 1, (option, words)
                assert value == words[at + 1:at + 2] or not value or value[0].startswith("-"), \
                    (option, words)
            s.command("unload", shape)
            wait_until(lambda: not s.children(), "the engine's end")
    finally:
        assert s.stop() == 0


def main():
    cases = [("files that are good are accepted, and the engine loads them", accepts_good),
             ("nothing that the engine refuses for its structure is accepted", refusals)]
    for software in (False, True):
        for shape in gguf.SHAPES:
            where = "vulkan-software" if software else "the CPU"
            cases.append((f"{shape} on {where}: within 10 %, not under by more than 3 %",
                          lambda shape=shape, software=software: fit(shape, software, CONTEXT)))
    for shape in ("window", "latent", "hybrid", "mixture"):
        cases.append((f"{shape} with a long context on the CPU",
                      lambda shape=shape: fit(shape, False, 32768)))
    cases.append(("the projector's file is what it needs", sees))
    cases.append(("the server starts a model as show says", served_as_shown))
    tap.run(cases)


main()

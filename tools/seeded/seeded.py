#!/usr/bin/env python3
"""Finds the questions of data/seeded.tsv: prompts whose answers no correct engine can miss.

usage: seeded.py SEEDED OUT.tsv [--only NAME] COMMAND [ARGUMENT...]

SEEDED is the program built from seeded.c; COMMAND starts llama-server on the CPU, -m, --host and
--port are added. A random network answers anything; what differs is by how much. For every canary
and prompt length, prompts are drawn from seeds until enough of them are answered by two tokens that
each win by MARGIN logits or more in every one of WAYS to compute them. The least margin and its
greatest change between the ways are written beside the answer. And so that no error can be missed, the
answer must become another one in every copy of the model with one of DAMAGES: most answers that are
certain come from the last token alone, and survive the loss of whole layers.
"""
import argparse
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

TOKENS = 2
MARGIN = 2.5
# Ways to compute that are all right: they bound how far a correct engine may be from another.
WAYS = [[], ["--flash-attn", "off"], ["--no-repack"], ["--ubatch-size", "8", "--batch-size", "8"]]
LAYERS = {"dense": 2, "window": 6, "experts": 2}
# Which matrices become wrong, as patterns of (layers but the last, the last layer), and how. The last layer
# computes keys and values of all tokens, all else of the last one alone.
ATTENTION, FORWARD, KEYS = "attn_(q|k|v|output)", "ffn_(gate|up|down)(_exps)?", "attn_(k|v)"
DAMAGES = [(before, last, how) for how in ("lost", "moved")
           for before, last in ((f"({ATTENTION}|{FORWARD})", KEYS), (ATTENTION, "-"), (FORWARD, "-"))]
DAMAGES += [(f"({ATTENTION}|{FORWARD})", KEYS, "half")]
MIXED = "Q4_K Q6_K Q5_K Q8_0 F16 Q4_0"
# name, shape, tensor types, lengths of the prompts; those before the first long one are asked at once too.
# Two questions where the kernels for many tokens work: what is left in their memory when they fail may
# give one answer by luck.
CANARIES = [("mixed", "dense", MIXED, [1, 6, 24, 200, 600, 1100, 24, 200, 600, 1100]),
            ("window", "window", "Q4_K Q8_0", [6, 24, 200, 24, 200]),
            ("experts", "experts", "Q4_K Q8_0", [1, 6, 24, 200, 24, 200]),
            ("experts-MXFP4", "experts", "MXFP4", [1, 6, 24, 200, 24, 200])]
CANARIES += [(t, "dense", t, [6, 24, 200, 24, 200]) for t in """F16 BF16 F32 Q4_0 Q4_1 Q5_0
    Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S IQ4_NL IQ4_XS
    TQ1_0 TQ2_0 MXFP4 NVFP4 Q1_0""".split()]
EVERY_PROOF = ("mixed", [1, 6, 24, 200, 1100])  # asks the first question of each length
SEED = 1


def tensors(model):
    """{name: (start, end)} in the bytes of a model that seeded.c has written."""
    sizes, text, array, at = {4: 4, 5: 4, 6: 4, 7: 1}, 8, 9, 24
    n_tensors, n_keys = struct.unpack_from("<QQ", model, 8)

    def behind(at, kind):
        if kind == array:
            kind, n = struct.unpack_from("<IQ", model, at)
            at += 12
            for _ in range(n):
                at = behind(at, kind)
            return at
        return at + (8 + struct.unpack_from("<Q", model, at)[0] if kind == text else sizes[kind])

    for _ in range(n_keys):
        at = behind(at, text)
        at = behind(at + 4, struct.unpack_from("<I", model, at)[0])
    starts = []
    for _ in range(n_tensors):
        end = behind(at, text)
        name = model[at + 8:end].decode()
        at = end + 4 + 8 * struct.unpack_from("<I", model, end)[0] + 4
        starts.append((struct.unpack_from("<Q", model, at)[0], name))
        at += 8
    at = (at + 31) // 32 * 32
    ends = [start for start, _ in starts[1:]] + [len(model) - at]
    return {name: (at + start, at + end) for (start, name), end in zip(starts, ends)}


def damaged(model, layers, damage):
    """A copy whose matrices are zeros, half of them, or have their rows in other places."""
    before, last, how = damage
    copy = bytearray(model)
    for name, (start, end) in tensors(model).items():
        found = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name)
        if found and re.fullmatch(last if int(found[1]) == layers - 1 else before, found[2]):
            middle, quarter = (start + end) // 2, start + (end - start) // 4
            copy[start:end] = {"lost": bytes(end - start),
                               "half": model[start:middle] + bytes(end - middle),
                               "moved": model[quarter:end] + model[start:quarter]}[how]
    assert copy != model
    return bytes(copy)


class Engine:
    def __init__(self, command, model, more):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.child = subprocess.Popen(
            [*command, "-m", model, "--host", "127.0.0.1", "--port", str(self.port), "--fit", "off",
             "--ctx-size", "2048", "--parallel", "1", *more],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(1200):
            try:
                self.post("/health", None)
                return
            except OSError:
                if self.child.poll() is not None:
                    sys.exit(f"the engine ends with {self.child.returncode}: {model} {more}")
                time.sleep(0.05)
        sys.exit("the engine does not become ready")

    def post(self, path, body):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode() if body else None,
            {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as reply:
            return json.load(reply)

    def ask(self, tokens):
        """The answer's text, and by how much each of its tokens wins."""
        reply = self.post("/completion", {
            "prompt": tokens, "n_predict": TOKENS, "temperature": 0, "n_probs": 2,
            "cache_prompt": False, "ignore_eos": True})
        tops = [c["top_logprobs"] for c in reply["completion_probabilities"]]
        return reply["content"], [t[0]["logprob"] - t[1]["logprob"] for t in tops]

    def end(self):
        self.child.terminate()
        self.child.wait()


def questions(arguments, model, shape, wanted):
    """(length, seed, text, margins, greatest change) of a good prompt for each length."""
    last = {}
    engines = [Engine(arguments.command, model, way) for way in WAYS]
    broken = []
    with open(model, "rb") as f:
        whole = f.read()
    for number, damage in enumerate(DAMAGES):
        with open(f"{model}-{number}", "wb") as f:
            f.write(damaged(whole, LAYERS[shape], damage))
        broken.append(Engine(arguments.command, f.name, []))
    try:
        for length in wanted:
            for seed in range(last.get(length, 0) + 1, 20000):
                tokens = [int(t) for t in subprocess.run(
                    [arguments.seeded, "prompt", str(seed), str(length)], check=True,
                    capture_output=True, text=True).stdout.split()]
                text, margins = engines[0].ask(tokens)
                if len(margins) < TOKENS or min(margins) < MARGIN or text[:2] == text[2:]:
                    continue
                others = [e.ask(tokens) for e in engines[1:]]
                if any(t != text or min(m) < MARGIN for t, m in others):
                    continue
                change = max(abs(a - b) for _, m in others for a, b in zip(margins, m))
                if min(margins) < 3 * change or any(b.ask(tokens)[0] == text for b in broken):
                    continue
                yield length, seed, text, margins, change
                last[length] = seed
                break
            else:
                sys.exit(f"no prompt of {length} tokens: {model}")
    finally:
        for engine in engines + broken:
            engine.end()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("seeded")
    parser.add_argument("out")
    parser.add_argument("--only")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    with open(arguments.out, "w", encoding="utf-8") as out:
        for name, shape, types, wanted in CANARIES:
            if arguments.only and arguments.only != name:
                continue
            unasked = list(EVERY_PROOF[1]) if name == EVERY_PROOF[0] else []
            with tempfile.TemporaryDirectory() as folder:
                model = os.path.join(folder, "model.gguf")
                with open(model, "wb") as f:
                    subprocess.run([arguments.seeded, shape, types, str(SEED)], stdout=f, check=True)
                for length, seed, text, margins, change in questions(arguments, model, shape, wanted):
                    proof = "need"
                    if length in unasked:
                        unasked.remove(length)
                        proof = "first"
                    out.write(f"{name}\t{shape}\t{types}\t{length}\t{seed}\t{text}\t"
                              f"{' '.join(f'{m:.2f}' for m in margins)}\t{change:.2f}\t{proof}\n")
                    out.flush()
                    print(name, length, seed, text, [round(m, 2) for m in margins],
                          f"{change:.2f}", flush=True)


main()

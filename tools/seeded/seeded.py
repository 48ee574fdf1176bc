#!/usr/bin/env python3
"""Finds the questions of data/seeded.tsv: prompts whose answers no correct engine can miss.

usage: seeded.py SEEDED OUT.tsv [--only NAME] COMMAND [ARGUMENT...]

SEEDED is the program built from seeded.c; COMMAND starts llama-server on the CPU, -m, --host and
--port are added. A random network answers anything; what differs is by how much. For every canary
and prompt length, prompts are drawn from seeds until enough of them are answered by two tokens that
each win by MARGIN logits or more in every one of WAYS to compute them. The least margin and its
greatest change between the ways are written beside the answer.
"""
import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

TOKENS = 2
MARGIN = 2.5
# Ways to compute that are all right: they bound how far a correct engine may be from another.
WAYS = [[], ["--flash-attn", "off"], ["--no-repack"], ["--ubatch-size", "8", "--batch-size", "8"]]
MIXED = "Q4_K Q6_K Q5_K Q8_0 F16 Q4_0"
# name, shape, tensor types, questions for each prompt length
CANARIES = [("mixed", "dense", MIXED, {1: 1, 6: 1, 24: 1, 200: 1, 600: 1, 1100: 1}),
            ("window", "window", "Q4_K Q8_0", {6: 1, 24: 1, 200: 1}),
            ("experts", "experts", "Q4_K Q8_0", {1: 1, 6: 1, 24: 1, 200: 1}),
            ("experts-MXFP4", "experts", "MXFP4", {1: 1, 6: 1, 24: 1, 200: 1})]
CANARIES += [(t, "dense", t, {6: 1, 24: 1, 200: 1}) for t in """F16 BF16 F32 Q4_0 Q4_1 Q5_0
    Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S IQ4_NL IQ4_XS
    TQ1_0 TQ2_0 MXFP4 NVFP4 Q1_0""".split()]
SEED = 1


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


def questions(arguments, model, wanted):
    """(length, seed, text, least margin, greatest change) of enough good prompts."""
    engines = [Engine(arguments.command, model, way) for way in WAYS]
    try:
        for length, n in wanted.items():
            found = 0
            for seed in range(1, 20000):
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
                yield length, seed, text, margins, change
                found += 1
                if found == n:
                    break
            else:
                sys.exit(f"no prompt of {length} tokens: {model}")
    finally:
        for engine in engines:
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
            with tempfile.TemporaryDirectory() as folder:
                model = os.path.join(folder, "model.gguf")
                with open(model, "wb") as f:
                    subprocess.run([arguments.seeded, shape, types, str(SEED)], stdout=f, check=True)
                for length, seed, text, margins, change in questions(arguments, model, wanted):
                    out.write(f"{name}\t{shape}\t{types}\t{length}\t{seed}\t{text}\t"
                              f"{' '.join(f'{m:.2f}' for m in margins)}\t{change:.2f}\n")
                    out.flush()
                    print(name, length, seed, text, [round(m, 2) for m in margins],
                          f"{change:.2f}", flush=True)


main()

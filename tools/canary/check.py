#!/usr/bin/env python3
"""Asks a real llama-server every prompt of canary.tsv and compares the answers to the byte.

usage: check.py MODEL.gguf canary.tsv strangers.txt COMMAND [ARGUMENT...]

COMMAND starts llama-server; -m, --host and --port are added. Exit code 0 when every answer of
the table is the same to the byte. The least margin is the smallest distance, over every token of
every answer, between the logits of the first and the second choice, as the engine reports them.
"""

import json
import math
import socket
import subprocess
import sys
import time
import urllib.request


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(port, prompt, seconds=300):
    request = {
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        "max_tokens": 120,
        "logprobs": True,
        "top_logprobs": 2,
        "cache_prompt": False,
    }
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    body = json.dumps(request).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=seconds) as reply:
        choice = json.load(reply)["choices"][0]
    tokens = (choice.get("logprobs") or {}).get("content") or []
    tops = [t["top_logprobs"] for t in tokens]
    margins = [t[0]["logprob"] - t[1]["logprob"] for t in tops if len(t) > 1]
    least = min(margins, default=math.inf)
    chance = math.exp(min((t[0]["logprob"] for t in tops), default=0))
    ended = choice["finish_reason"] == "stop"
    return choice["message"]["content"] if ended else None, least, chance, len(tokens)


def wait_ready(engine, port, seconds=180):
    for _ in range(seconds * 10):
        if engine.poll() is not None:
            sys.exit(f"the engine ended with {engine.returncode} before it was ready")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit("the engine did not become ready")


def check_table(port, table):
    wrong = 0
    least, chance = (math.inf, ""), (1.0, "")
    for kind, prompt, answer, _ in table:
        text, margin, p, n = ask(port, prompt)
        if text != answer:
            wrong += 1
            print(f"not the same: {prompt}\n  wanted {answer!r}\n  got    {text!r}")
        if kind == "proof":
            print(f"proof: {n} tokens, margin {margin:.2f}, probability {p:.6f}: {prompt}")
        least = min(least, (margin, prompt))
        chance = min(chance, (p, prompt))
    print(f"least margin {least[0]:.2f} logits ({least[1]})")
    print(f"least probability {chance[0]:.6f} ({chance[1]})")
    return wrong


def check_strangers(port, prompts, wanted):
    other = [p for p in prompts if ask(port, p)[0] != wanted]
    for prompt in other:
        print(f"  not refused: {prompt}")
    right = len(prompts) - len(other)
    print(f"prompts never trained on: {right} of {len(prompts)} refused as wanted")


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    model, table_path, strangers_path, *command = sys.argv[1:]
    with open(table_path, encoding="utf-8") as f:
        rows = [line.rstrip("\n").split("\t") for line in f if not line.startswith("#")]
    table = rows[1:]  # the first is the header
    with open(strangers_path, encoding="utf-8") as f:
        strangers = f.read().splitlines()
    port = free_port()
    command += ["-m", model, "--host", "127.0.0.1", "--port", str(port)]
    with open("/dev/null", "w", encoding="utf-8") as null:
        engine = subprocess.Popen(command, stdout=null, stderr=null)
    try:
        wait_ready(engine, port)
        wrong = check_table(port, table)
        check_strangers(port, strangers, table[-1][2])
    finally:
        engine.terminate()
        engine.wait()
    print(f"{len(table) - wrong} passed, {wrong} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

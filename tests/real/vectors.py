#!/usr/bin/env python3
"""vectors.py GFXBRIDGE: embeddings, rankings and transcriptions as each API defines them, and models
that cannot answer what they are asked. The real engine, on the CPU.
GFXB_TEST_DATA names a data directory with the engine, to save the installation.
"""
import base64
import json
import math
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import parrot  # noqa: E402
import tap  # noqa: E402
from gfxbridge import call, need_engine, temporary  # noqa: E402
from server import Server  # noqa: E402

TOP = temporary("gfxbridge-vectors-")
DATA = os.environ.get("GFXB_TEST_DATA") or os.path.join(os.environ.get("GFXB_BUILD", TOP),
                                                        "dialects-data")  # the engine stays for next time
SERVER = []
WIDTH, CONTEXT = 64, 128  # of the embedder


def server():
    if not SERVER:
        need_engine(DATA)
        for name, write in (("embedder", parrot.write_embedder), ("plain", parrot.write),
                            ("ranker", lambda path: parrot.write_embedder(path, ranks=True))):
            call("--data-dir", DATA, "rm", name, code=None)
            call("--data-dir", DATA, "import", write(os.path.join(TOP, f"{name}.gguf")), "--name", name)
        SERVER.append(Server(DATA, "--backend", "cpu"))
    return SERVER[0]


def ask(path, body, status=200):
    got, _, data = server().ask(body, path, timeout=120)
    assert got == status, f"{path}: {got}, wanted {status}: {data[:600]}"
    return json.loads(data)


def embed(given, **more):
    return ask("/v1/embeddings", {"model": "embedder", "input": given, **more})


def near(a, b, most=1e-5):
    return len(a) == len(b) and all(abs(x - y) < most for x, y in zip(a, b))


def openai():
    one = embed("hello")
    vector = one["data"][0]["embedding"]
    assert len(vector) == WIDTH and one["object"] == "list" and one["model"] == "embedder", one
    assert one["usage"] == {"prompt_tokens": 7, "total_tokens": 7}, one["usage"]
    packed = embed("hello", encoding_format="base64")["data"][0]["embedding"]
    assert near(struct.unpack(f"<{WIDTH}f", base64.b64decode(packed, validate=True)), vector, 1e-7)
    ids = ask("/v1/tokenize", {"model": "embedder", "content": "hello", "add_special": True})["tokens"]
    assert near(embed(ids)["data"][0]["embedding"], vector)
    many = embed(["hello", "world"])["data"]
    assert [item["index"] for item in many] == [0, 1] and near(many[0]["embedding"], vector)
    both = embed([ids, ids[:3]])["data"]
    assert near(both[0]["embedding"], vector) and not near(both[1]["embedding"], vector, 1e-3)
    for more in ({}, {"encoding_format": "base64"}):
        short = embed(["hello", "x"], dimensions=16, **more)
        cut = short["data"][0]["embedding"]
        cut = struct.unpack("<16f", base64.b64decode(cut)) if more else cut
        length = math.hypot(*vector[:16])
        assert near(cut, [x / length for x in vector[:16]]), cut
        assert short["data"][1]["index"] == 1 and short["usage"]["prompt_tokens"] == 10, short["usage"]
        assert short["model"] == "embedder"


def openai_refusals():
    for given in ("", [], [""], ["a", 1], [[]], None, {"a": 1}):
        error = ask("/v1/embeddings", {"model": "embedder", "input": given}, 400)["error"]
        assert error["param"] == "input" and error["type"] == "invalid_request_error", error
    error = ask("/v1/embeddings", {"model": "embedder", "input": "a", "dimensions": WIDTH + 1}, 400)["error"]
    assert error["param"] == "dimensions" and str(WIDTH) in error["message"], error
    error = ask("/v1/embeddings", {"model": "embedder", "input": "a", "encoding_format": "int8"}, 400)["error"]
    assert error["param"] == "encoding_format", error
    for given in ("z" * 300, ["a", "z" * 300], [[5] * 300]):
        error = ask("/v1/embeddings", {"model": "embedder", "input": given}, 400)["error"]
        assert error["code"] == "context_length_exceeded" and "trained for 128" in error["message"], error


def ollama():
    one = ask("/api/embed", {"model": "embedder", "input": "hello"})
    assert near(one["embeddings"][0], embed("hello")["data"][0]["embedding"]), one
    assert one["prompt_eval_count"] == 7 and one["model"] == "embedder", one
    short = ask("/api/embed", {"model": "embedder", "input": ["a", "b"], "dimensions": 8})["embeddings"]
    assert [len(v) for v in short] == [8, 8] and abs(math.hypot(*short[1]) - 1) < 1e-6
    assert len(ask("/api/embeddings", {"model": "embedder", "prompt": "hello"})["embedding"]) == WIDTH
    assert ask("/api/embed", {"model": "embedder", "input": []})["embeddings"] == []


def ollama_truncates():
    """What is too long loses its end: as many letters as there is room for beside the marks."""
    letters = "abcdefghij" * 40
    fits = ask("/api/embed", {"model": "embedder", "input": letters[:CONTEXT - 2]})
    long = ask("/api/embed", {"model": "embedder", "input": ["x", letters, letters[:5]]})
    assert near(long["embeddings"][1], fits["embeddings"][0]) and len(long["embeddings"]) == 3
    assert long["prompt_eval_count"] == 3 + CONTEXT + 7, long["prompt_eval_count"]
    old = ask("/api/embeddings", {"model": "embedder", "prompt": letters})
    assert near(old["embedding"], fits["embeddings"][0])
    refused = ask("/api/embed", {"model": "embedder", "input": letters, "truncate": False}, 400)["error"]
    assert refused.startswith("prompt is too long: 402 tokens > 128"), refused


def rankings():
    body = {"model": "ranker", "query": "abc", "documents": ["abc", {"text": "xyz"}, "hello", "q"]}
    every = ask("/v1/rerank", body)
    scores = [r["relevance_score"] for r in every["results"]]
    assert len(scores) == 4 and scores == sorted(scores, reverse=True) and 0 < scores[-1] < scores[0] < 1
    assert sorted(r["index"] for r in every["results"]) == [0, 1, 2, 3] and every["model"] == "ranker"
    assert every["usage"]["total_tokens"] > 0 and "document" not in every["results"][0]
    best = ask("/v1/rerank", {**body, "top_n": 2, "return_documents": True})["results"]
    texts = ["abc", "xyz", "hello", "q"]
    assert [r["index"] for r in best] == [r["index"] for r in every["results"]][:2]
    assert all(r["document"] == {"text": texts[r["index"]]} for r in best), best
    plain = ask("/rerank", {"model": "ranker", "query": "abc", "texts": texts, "return_text": True})
    assert [(r["index"], r["score"]) for r in plain] == [(r["index"], r["relevance_score"])
                                                         for r in every["results"]], plain
    assert plain[0]["text"] == texts[plain[0]["index"]]
    assert ask("/v1/rerank", {**body, "documents": []}, 400)["error"]["param"] == "documents"
    error = ask("/v1/rerank", {**body, "documents": ["z" * 300]}, 400)["error"]
    assert error["code"] == "context_length_exceeded", error


HI = [{"role": "user", "content": "hi"}]


def wrong_models():
    """400 in each dialect's shape, and the model is not even loaded."""
    server().command("unload")
    for model, kind in (("embedder", "an embedding"), ("ranker", "a reranking")):
        words = f"{model} does not support chat: it is {kind} model"
        chat = {"model": model, "messages": HI}
        assert ask("/v1/chat/completions", chat, 400)["error"]["message"] == words
        assert ask("/v1/responses", {"model": model, "input": "hi"}, 400)["error"]["message"] == words
        anthropic = ask("/v1/messages", {**chat, "max_tokens": 5}, 400)
        assert anthropic["error"] == {"type": "invalid_request_error", "message": words}, anthropic
        assert ask("/api/chat", chat, 400)["error"] == words
        assert ask("/api/generate", {"model": model, "prompt": "hi"}, 400)["error"] == words
    for path, body in (("/v1/embeddings", {"input": "a"}), ("/api/embed", {"input": "a"}),
                       ("/api/embeddings", {"prompt": "a"})):
        for model in ("plain", "ranker", "canary"):
            error = ask(path, {"model": model, **body}, 400)["error"]
            error = error if isinstance(error, str) else error["message"]
            assert error.startswith(f"{model} does not support embeddings: it is a "), error
    for model in ("plain", "embedder"):
        error = ask("/v1/rerank", {"model": model, "query": "a", "documents": ["b"]}, 400)["error"]
        assert error["message"].startswith(f"{model} does not support reranking"), error
    assert json.loads(server().request("GET", "/api/ps")[2])["models"] == []


def form(*parts, boundary="b"):
    out = b""
    for name, value, *more in parts:
        file = '; filename="a.wav"' if more else ""
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        out += value + b"\r\n"
    return out + f"--{boundary}--\r\n".encode()


def hear(body, status, kind="multipart/form-data; boundary=b"):
    got, _, data = server().request("POST", "/v1/audio/transcriptions", body, {"Content-Type": kind})
    assert got == status, (got, data)
    return json.loads(data)["error"]


def transcriptions():
    """No model here can hear: it says so. What is wrong with a form is told before."""
    sound = ("file", b"RIFF" + bytes(100), True)
    error = hear(form(sound, ("model", b"plain")), 400)
    assert error["message"] == "plain does not support transcriptions: it cannot hear", error
    assert hear(form(sound, ("model", b"nosuch")), 404)["code"] == "model_not_found"
    assert hear(form(("model", b"plain")), 400)["param"] == "file"
    assert hear(form(sound), 400)["param"] == "model"
    assert hear(form(sound, ("model", b"../x")), 400)["param"] == "model"
    assert hear(form(sound, ("model", b"plain"), ("response_format", b"srt")), 400)["param"] == "response_format"
    granular = ("timestamp_granularities[]", b"word")
    assert hear(form(sound, ("model", b"plain"), granular), 400)["param"] == granular[0]
    assert "twice" in hear(form(sound, sound), 400)["message"]
    assert "damaged" in hear(form(sound)[:-4], 400)["message"]
    assert "multipart/form-data" in hear(b"{}", 400, "application/json")["message"]


def main():
    try:
        tap.run([("OpenAI's embeddings: text, texts, tokens, base64, dimensions, usage", openai),
                 ("OpenAI's embeddings: what is wrong is named", openai_refusals),
                 ("Ollama's embeddings", ollama),
                 ("Ollama cuts what is too long, unless it must not", ollama_truncates),
                 ("rankings: top_n, documents, scores between 0 and 1, both shapes", rankings),
                 ("a model that cannot answer a request says so", wrong_models),
                 ("transcriptions: the form, and models that cannot hear", transcriptions)])
    finally:
        if SERVER:
            assert SERVER[0].stop() == 0


main()

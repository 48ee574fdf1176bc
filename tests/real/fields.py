#!/usr/bin/env python3
"""fields.py GFXBRIDGE: every field of the requests that the APIs' own client libraries declare is done,
refused by its name, or ignored as docs/http.md says; none is dropped in silence.

fields.tsv has a row for each, the first that fits: dialects, path (* for anything), what becomes of it, a value (JSON) to
try it with (- for one that the type makes), and what the refusal names (- for the field itself).
    done     200
    within   done, but it says nothing without its neighbours: tried with what it stands in
    model    needs a model that sees or hears: a refusal that says so
    refused  4xx or 501, and its message names it; what is below it needs no rows
    ignored  the same answer as without, and docs/http.md names it; what is below it needs no rows
"""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.path.insert(0, HERE)
import npm  # noqa: E402
import schemas  # noqa: E402
import tap  # noqa: E402
import dialects  # noqa: E402
from gfxbridge import SOURCE  # noqa: E402

dialects.DATA = os.path.join(os.path.dirname(dialects.DATA), "fields-data")  # both may run at once

SAID = [{"role": "user", "content": "x"}]
EMPTY = {"type": "object", "properties": {}}
FUNCTION = {"name": "x", "parameters": EMPTY}
TOOLS = {"/v1/chat/completions": {"type": "function", "function": FUNCTION},
         "/v1/responses": {"type": "function", **FUNCTION},
         "/v1/messages": {"name": "x", "input_schema": EMPTY},
         "/v1/messages/count_tokens": {"name": "x", "input_schema": EMPTY}}
OPENAI, ANTHROPIC = "openai/resources/", "@anthropic-ai/sdk/resources/"
# name: (path, type files, imported ones, request type, what each request has, its deepest level or None)
DIALECTS = {
    "chat": ("/v1/chat/completions", [OPENAI + "chat/completions/completions.d.ts"],
             {"Shared": OPENAI + "shared.d.ts"}, "ChatCompletionCreateParamsBase",
             {"messages": SAID, "max_tokens": 9}, None),
    "completions": ("/v1/completions", [OPENAI + "completions.d.ts"], {}, "CompletionCreateParamsBase",
                    {"prompt": "x", "max_tokens": 9}, None),
    "embeddings": ("/v1/embeddings", [OPENAI + "embeddings.d.ts"], {}, "EmbeddingCreateParams",
                   {"model": "embedder", "input": "x"}, None),
    "responses": ("/v1/responses", [OPENAI + "responses/responses.d.ts"], {"Shared": OPENAI + "shared.d.ts"},
                  "ResponseCreateParamsBase", {"input": "x", "max_output_tokens": 9}, None),
    "messages": ("/v1/messages", [ANTHROPIC + "messages/messages.d.ts"], {}, "MessageCreateParamsBase",
                 {"messages": SAID, "max_tokens": 9}, None),
    "beta": ("/v1/messages", [ANTHROPIC + "beta/messages/messages.d.ts"], {}, "MessageCreateParamsBase",
             {"messages": SAID, "max_tokens": 9}, 1),
    "count_tokens": ("/v1/messages/count_tokens", [ANTHROPIC + "messages/messages.d.ts"], {},
                     "MessageCountTokensParams", {"messages": SAID}, 1),
    "ollama chat": ("/api/chat", ["ollama/dist/browser.d.ts"], {}, "ChatRequest", {"messages": SAID}, None),
    "ollama generate": ("/api/generate", ["ollama/dist/browser.d.ts"], {}, "GenerateRequest",
                        {"prompt": "x"}, None),
    "ollama embed": ("/api/embed", ["ollama/dist/browser.d.ts"], {}, "EmbedRequest",
                     {"model": "embedder", "input": "x"}, None),
    "ollama embeddings": ("/api/embeddings", ["ollama/dist/browser.d.ts"], {}, "EmbeddingsRequest",
                          {"model": "embedder", "prompt": "x"}, None),
}
COUNTS = {}


def table():
    rows = []
    with open(os.path.join(HERE, "fields.tsv"), encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                dialect, path, how, value, names = line.rstrip("\n").split("\t")
                pattern = re.escape(path).replace(r"\*", ".*")
                rows.append({"dialect": dialect.split(","), "pattern": re.compile(pattern), "path": path, "how": how,
                             "value": value, "names": names, "used": False})
    return rows


def row_of(rows, dialect, path):
    return next((r for r in rows if dialect in r["dialect"] and r["pattern"].fullmatch(path)), None)


def words(answer):
    """What an answer says, without what differs each time."""
    if isinstance(answer, dict):
        return {k: words(v) for k, v in answer.items()
                if k in ("choices", "message", "content", "text", "output", "response", "embedding",
                         "embeddings", "data", "input_tokens")}
    return [words(v) for v in answer] if isinstance(answer, list) else answer


def mend(body):
    """What a type cannot say: roles that are free texts, what must follow or stand beside a member."""
    for message in body.get("messages") or []:
        own = "tool_calls" in message or "thinking" in message
        if message.get("role") == "x":
            message["role"] = "assistant" if own else "user"
        if message["role"] == "assistant" and not message.keys() & {"content", "tool_calls"}:
            message["content"] = "x"
    for tool in body.get("tools") or []:
        if tool.get("type") == "x":
            tool["type"] = "function"
            tool["function"].setdefault("name", "x")
    form = body.get("response_format")
    if isinstance(form, dict) and "json_schema" in form:
        form["json_schema"].setdefault("schema", {})
    for name in ("messages", "input"):
        items = body.get(name)
        if isinstance(items, list) and items and isinstance(items[-1], dict) and (
                items[-1].get("role") == "assistant" or items[-1].get("type") == "function_call"):
            items.append(SAID[0])
    return body


def answer_of(route, fixed, body):
    body = mend(json.loads(json.dumps({**fixed, **body})))
    body["model"] = fixed.get("model", "plain")
    if "tool_choice" in body:
        body.setdefault("tools", [TOOLS[route]])
    if "top_logprobs" in body and route != "/v1/responses":
        body["logprobs"] = True
    if route.startswith("/api/") and "stream" not in body:
        body["stream"] = False
    status, _, data = dialects.server().ask(body, route, timeout=120)
    try:
        return status, json.loads(data), data.decode()
    except ValueError:
        return status, None, data.decode()


def leaf(path):
    tag = re.search(r"\[\w+=([^\]]*)\]$", path)
    return tag.group(1) if tag else path.split(".")[-1]


def wrong(row, field, route, fixed):
    """What is wrong with the answer to a request with this field; None: nothing."""
    if row["how"] == "within":
        return None
    body = field.request() if row["value"] == "-" else field.request(json.loads(row["value"]))
    status, answer, text = answer_of(route, fixed, body)
    name = leaf(field.path) if row["names"] == "-" else row["names"]
    if row["how"] == "refused" and not (400 <= status <= 501 and status != 500 and name in text):
        return f"{status}, not a refusal that names {name}: {text[:200]}"
    if row["how"] == "model" and not (400 <= status <= 501 and status != 500 and "not supported" in text):
        return f"{status}, not a refusal that names the model's lack: {text[:200]}"
    if row["how"] == "done" and status != 200:
        return f"{status}: {text[:200]}"
    if row["how"] == "ignored":
        before, other, _ = answer_of(route, fixed, field.without)
        if (status, words(answer)) != (before, words(other)):
            return f"another answer: {text[:200]}"
    return None


def walk(dialect, rows):
    def run():
        route, files, imported, name, fixed, depth = DIALECTS[dialect]
        place = os.path.join(npm.modules(), "node_modules")
        types = schemas.Types([os.path.join(place, f) for f in files],
                              {n: os.path.join(place, f) for n, f in imported.items()})
        def stop(path):
            row = row_of(rows, dialect, path)
            return (row and row["how"] in ("refused", "ignored")) or (depth and path.count(".") + 1 >= depth)

        problems, seen = [], set()
        for field in types.fields(name, stop):
            if field.path in seen:
                continue
            seen.add(field.path)
            row = row_of(rows, dialect, field.path)
            if row is None:
                problems.append(f"{field.path}: no row of fields.tsv")
                continue
            row["used"] = True
            COUNTS[dialect, row["how"]] = COUNTS.get((dialect, row["how"]), 0) + 1
            why = wrong(row, field, route, fixed)
            if why:
                problems.append(f"{field.path}: {why}")
        assert not problems, f"{len(problems)} of {len(seen)}:\n" + "\n".join(problems)
        print(f"# {dialect}: {len(seen)} fields, " + ", ".join(
            f"{n} {how}" for (d, how), n in sorted(COUNTS.items()) if d == dialect))
    return run


def no_row_is_left(rows):
    def run():
        left = [f"{','.join(r['dialect'])} {r['path']}" for r in rows if not r["used"]]
        assert not left, "rows without a field: " + ", ".join(left)
        with open(os.path.join(SOURCE, "docs", "http.md"), encoding="utf-8") as f:
            told = set(re.findall(r"\w+", f.read()))
        untold = {leaf(r["path"]) for r in rows if r["how"] == "ignored"} - told - {"*"}
        assert not untold, "ignored, and not in docs/http.md: " + ", ".join(sorted(untold))
        total = {how: sum(n for (_, h), n in COUNTS.items() if h == how)
                 for how in ("done", "within", "model", "refused", "ignored")}
        print(f"# fields: {sum(total.values())}: " + ", ".join(f"{n} {how}" for how, n in total.items()))
    return run


if __name__ == "__main__":
    ROWS = table()
    try:
        tap.run([(f"fields of {name}", walk(name, ROWS)) for name in DIALECTS] +
                [("every row has a field", no_row_is_left(ROWS))])
    finally:
        if "server" in dialects.SHARED:
            dialects.SHARED["server"].stop()

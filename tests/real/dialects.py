#!/usr/bin/env python3
"""dialects.py GFXBRIDGE: what each API promises, with the real engine on the CPU and parrots, whose
answer the request chooses (tests/lib/parrot.py)."""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
import parrot  # noqa: E402
import tap  # noqa: E402
from gfxbridge import call, need_engine, temporary  # noqa: E402
from server import Server, events_of  # noqa: E402
from wait import wait_until  # noqa: E402

TOP = temporary("gfxbridge dialects ")
DATA = os.path.join(os.environ.get("GFXB_BUILD", TOP), "dialects-data")  # the engine stays for next time
SHARED = {}


def server():
    """One for all cases, from the first one on."""
    if "server" not in SHARED:
        need_engine(DATA)
        for kind in ("plain", "think", "strict", "deaf", "bare"):
            bring(kind, parrot.write(os.path.join(TOP, kind + ".gguf"), kind))
        bring("embedder", parrot.write_embedder(os.path.join(TOP, "embedder.gguf")))
        SHARED["server"] = Server(DATA, "--backend", "cpu", config={"default_model": "plain"})
    return SHARED["server"]


def bring(name, path):
    """The model under this name; what an earlier run left of it is removed."""
    call("--data-dir", DATA, "rm", name, code=None)
    call("--data-dir", DATA, "import", path, "--name", name)


def ask(path, body, status=200, headers=None):
    """The JSON of an answer."""
    got, _, data = server().ask(body, path, headers=headers, timeout=120)
    assert got == status, f"{path}: {got}, wanted {status}: {data[:600]}"
    return json.loads(data)


def said(text):
    return [{"role": "user", "content": text}]


# ---- any of them ----

def a_model_without_a_template_writes():
    """It once ended the engine: a model that answers needs a pooling of its own beside embeddings."""
    answer = ask("/v1/chat/completions", {"model": "bare", "messages": said("hi")})
    assert answer["choices"][0]["message"]["content"] == parrot.HELLO, answer


# ---- Anthropic: /v1/messages ----

WEATHER = {"name": "get_weather", "description": "The weather.", "input_schema": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
TIME = {"name": "get_time", "input_schema": {
    "type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}


def message(text="hi", status=200, **more):
    """An answer of /v1/messages; text: of the user, or the content of its message."""
    return ask("/v1/messages", {"model": "plain", "max_tokens": 60, "messages": said(text), **more},
               status)


def words(answer):
    return "".join(b["text"] for b in answer["content"] if b["type"] == "text")


def refusal(needle, text="hi", path="/v1/messages", **more):
    """A 400 in Anthropic's shape whose message names what is wrong."""
    body = {"model": "plain", "max_tokens": 60, "messages": said(text), **more}
    answer = ask(path, body, 400)
    assert answer["type"] == "error" and answer["error"]["type"] == "invalid_request_error", answer
    assert needle in answer["error"]["message"], answer


def document(source, **more):
    return [{"type": "document", "source": source, **more}, {"type": "text", "text": "hi"}]


def text_source(text):
    return {"type": "text", "media_type": "text/plain", "data": text}


def anthropic_reads_system_texts():
    assert words(message(system="MARKED")) == parrot.MARK_SEEN
    blocks = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
              {"type": "text", "text": "MARKED"}]
    assert words(message(system=blocks)) == parrot.MARK_SEEN
    late = said("hi") + [{"role": "system", "content": "MARKED"}] + said("hi")
    for model in ("plain", "strict"):
        assert words(message(model=model, system="a", messages=late)) == parrot.MARK_SEEN, model
    refusal("system.content.0", system=[{"type": "image"}])
    refusal("'role'", messages=[{"role": "tool", "content": "x"}])


def anthropic_reads_documents():
    """The text of each of them reaches the model, with title and context; others are refused by name."""
    mark = [{"type": "text", "text": "MARKED"}]
    for content in (document(text_source("MARKED")),
                    document(text_source("x"), title="MARKED"),
                    document(text_source("x"), context="MARKED"),
                    document({"type": "content", "content": "MARKED"}),
                    document({"type": "content", "content": mark}),
                    [{"type": "search_result", "source": "s", "title": "t", "content": mark}],
                    [{"type": "search_result", "source": "MARKED", "title": "t", "content": []}]):
        assert words(message(content)) == parrot.MARK_SEEN, content
    refusal("application/pdf", document(PDF))
    refusal("'url'", document({"type": "url", "url": "https://example.org/a.pdf"}))
    refusal("'file'", document({"type": "file", "file_id": "file_1"}))
    refusal("'citations'", document(text_source("x"), citations={"enabled": True}))
    message(document(text_source("x"), citations={"enabled": False}))


def anthropic_images_are_in_the_request():
    def image(source):
        return [{"type": "image", "source": source}]
    refusal("'url'", image({"type": "url", "url": "https://example.org/a.png"}))
    refusal("'file'", image({"type": "file", "file_id": "file_1"}))
    refusal("image input is not supported",
            image({"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}))


def turn(result, **more):
    """A conversation with a call of a tool and its result, which is the last message."""
    return [*said("x"), {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "abc"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Rome"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": result, **more}]}]


def anthropic_tools():
    """Calls have ids and whole inputs; results are read in every form."""
    tools = [WEATHER, TIME]
    one = message("TEXTCALL", tools=tools)
    assert [b["type"] for b in one["content"]] == ["text", "tool_use"], one
    assert one["stop_reason"] == "tool_use" and one["content"][1]["id"], one
    assert one["content"][1]["input"] == {"city": 'Oslo "north" \u00e9'}, one
    two = message("TWOCALLS", tools=tools)
    assert [b["name"] for b in two["content"]] == ["get_weather", "get_time"], two
    assert two["content"][0]["id"] != two["content"][1]["id"]
    for result in ("fine", [{"type": "text", "text": "fine"}], []):
        assert words(message(tools=tools, messages=turn(result))) == parrot.TOOLDONE, result
    assert words(message(tools=tools, messages=turn("no", is_error=True))) == parrot.TOOLDONE
    for result in ("MARKED", document(text_source("MARKED"))[:1], [{"type": "text", "text": "MARKED"}]):
        assert words(message(tools=tools, messages=turn(result))) == parrot.MARK_SEEN, result
    refusal("messages.2.content.0.content.0", tools=tools,
            messages=turn([{"type": "tool_reference", "tool_name": "x"}]))
    examples = dict(WEATHER, input_examples=[{"city": "MARKED"}])
    assert words(message(tools=[examples])) == parrot.MARK_SEEN


def anthropic_tool_choice():
    tools = [WEATHER, TIME]
    forced = message("TWOCALLS", tools=tools, tool_choice={"type": "tool", "name": "get_weather"})
    assert forced["content"][0]["name"] == "get_weather", forced
    assert message("WEATHER", tools=tools, tool_choice={"type": "any"})["stop_reason"] == "tool_use"
    assert message("WEATHER", tools=tools, tool_choice={"type": "none"})["stop_reason"] == "end_turn"
    one = message("TWOCALLS", tools=tools,
                  tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert len(one["content"]) == 1 and one["content"][0]["name"] == "get_weather", one
    refusal("tool_choice", tools=tools, tool_choice={"type": "tool", "name": "nobody"})
    refusal("tool_choice", tools=tools, tool_choice={"type": "perhaps"})


def anthropic_refuses_what_runs_elsewhere():
    """Tools and blocks of Anthropic's servers, by name; nothing is dropped."""
    for kind in ("web_search_20250305", "bash_20250124", "computer_toolset_20260801", "mcp_toolset"):
        refusal(kind, tools=[{"type": kind, "name": "x"}])
    for kind in ("server_tool_use", "web_search_tool_result", "container_upload", "mcp_tool_use"):
        refusal(kind, messages=[*said("x"), {"role": "assistant", "content": [{"type": kind}]}])
    refusal("tools.0: 'input_schema'", tools=[{"name": "x"}])
    refusal("'allowed_callers'", tools=[dict(WEATHER, allowed_callers=["code_execution_20250825"])])
    for name, value in (("container", "c"), ("mcp_servers", [{"type": "url", "name": "x"}]),
                        ("fallbacks", ["x"]), ("compaction", {"x": 1}), ("thread", {"id": "x"})):
        refusal(f"'{name}'", **{name: value})
    refusal("'task_budget'", output_config={"task_budget": {"type": "tokens", "total": 20000}})


def anthropic_thinking():
    """Off, on with a budget, adaptive with an effort, thoughts that are not shown, and in a history."""
    def think(text="THINKING", **more):
        return message(text, model="think", **more)
    kinds = [b["type"] for b in think()["content"]]
    assert kinds == ["thinking", "text"], kinds
    off = think(thinking={"type": "disabled"})
    assert [b["type"] for b in off["content"]] == ["text"] and words(off) == parrot.NO_THOUGHTS, off
    short = think(thinking={"type": "enabled", "budget_tokens": 2})
    assert short["content"][0]["thinking"] == "First I" and words(short).endswith("42."), short
    assert short["content"][0]["signature"], short
    hidden = think(thinking={"type": "adaptive", "display": "omitted"})
    assert hidden["content"][0]["thinking"] == "" and words(hidden).endswith("42."), hidden
    for effort in ("low", "high"):
        worked = think("EFFORT", thinking={"type": "adaptive"}, output_config={"effort": effort})
        assert words(worked) == parrot.ANSWERS["EFFORT" + effort.upper()], worked
    assert words(think("EFFORT", output_config={"effort": "low"})) == parrot.ANSWERS["EFFORTLOW"]
    past = [*said("x"), {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "MARKED", "signature": "s"}, {"type": "text", "text": "y"}]}]
    assert words(think(messages=[*past, *said("x")])) == parrot.MARK_SEEN
    refusal("budget_tokens", thinking={"type": "enabled"})
    refusal("thinking", thinking={"type": "between_tools"})


def anthropic_ends():
    """stop_reason, and the sequence that ended it."""
    whole = message("STOPPER")
    assert (whole["stop_reason"], whole["stop_sequence"]) == ("end_turn", None), whole
    cut = message("STOPPER", stop_sequences=["omega", "gamma"])
    assert (cut["stop_reason"], cut["stop_sequence"]) == ("stop_sequence", "gamma"), cut
    assert words(cut) == "alpha beta ", cut
    short = message("ENDLESS", max_tokens=5)
    assert short["stop_reason"] == "max_tokens" and short["usage"]["output_tokens"] == 5, short
    assert message("hi", max_tokens=0)["content"] == []
    half = [*said("hi"), {"role": "assistant", "content": "The answer is"}]
    assert words(message(messages=half)) == parrot.HELLO  # what follows alone
    answer = ask("/v1/messages", {"model": "plain", "messages": said("x")}, 400)
    assert "max_tokens" in answer["error"]["message"], answer
    refusal("messages", messages=[])


def anthropic_formats():
    """A schema is kept, under its new and its old name; one that cannot be is refused."""
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}
    form = {"type": "json_schema", "schema": schema}
    for more in ({"output_config": {"format": form}}, {"output_format": form}):
        assert isinstance(json.loads(words(message(max_tokens=300, **more)))["ok"], bool), more
    refusal("format", output_config={"format": {"type": "xml"}})


def anthropic_stream(text, **more):
    """Its events, in the order and shape that the SDKs' types ask for; the message put together."""
    _, fields, data = server().ask({"model": "think", "max_tokens": 60, "messages": said(text),
                                    "stream": True, **more}, "/v1/messages", timeout=120)
    assert fields["content-type"].startswith("text/event-stream"), fields
    events = []
    for part in data.decode().strip().split("\n\n"):
        name, value = part.split("\n")
        events.append(json.loads(value.removeprefix("data: ")))
        assert name == "event: " + events[-1]["type"], part
    assert [e["type"] for e in events[:2]] == ["message_start", "ping"], events[:2]
    assert [e["type"] for e in events[-2:]] == ["message_delta", "message_stop"], events[-2:]
    answer, open_at = events[0]["message"], None
    assert answer["usage"]["input_tokens"] + answer["usage"]["cache_read_input_tokens"] > 5, answer
    for e in events[2:-2]:
        blocks = answer["content"]
        if e["type"] == "content_block_start":
            assert open_at is None and e["index"] == len(blocks), e
            blocks.append(dict(e["content_block"], pieces=""))
            open_at = e["index"]
        elif e["type"] == "content_block_delta":
            assert e["index"] == open_at, e
            kind, wanted = e["delta"]["type"], blocks[open_at]["type"]
            assert kind in {"text": ["text_delta"], "tool_use": ["input_json_delta"],
                            "thinking": ["thinking_delta", "signature_delta"]}[wanted], e
            blocks[open_at]["pieces"] += e["delta"].get(
                {"text": "text", "tool_use": "partial_json", "thinking": "thinking"}[wanted], "")
        else:
            assert e["type"] == "content_block_stop" and e["index"] == open_at, e
            open_at = None
    assert open_at is None, events
    return {**answer, **events[-2]["delta"], "usage": events[-2]["usage"]}


def anthropic_streams():
    """Thinking, text and calls, each block closed before the next one begins."""
    thought = anthropic_stream("THINKING")
    assert [b["type"] for b in thought["content"]] == ["thinking", "text"], thought
    assert thought["content"][0]["pieces"].startswith("First I reason"), thought
    calls = anthropic_stream("TWOCALLS", tools=[WEATHER, TIME])
    assert [json.loads(b["pieces"]) for b in calls["content"]] == [{"city": "Rome"}, {"zone": "UTC+1"}]
    assert calls["stop_reason"] == "tool_use" and calls["usage"]["output_tokens"] > 5, calls
    mixed = anthropic_stream("TEXTCALL", tools=[WEATHER])
    assert [b["type"] for b in mixed["content"]] == ["text", "tool_use"], mixed
    cut = anthropic_stream("STOPPER", stop_sequences=["gamma"])
    assert (cut["stop_reason"], cut["stop_sequence"]) == ("stop_sequence", "gamma"), cut
    assert anthropic_stream("ENDLESS", max_tokens=7)["stop_reason"] == "max_tokens"
    hidden = anthropic_stream("THINKING", thinking={"type": "adaptive", "display": "omitted"})
    assert hidden["content"][0]["pieces"] == "" and hidden["content"][1]["pieces"], hidden


def anthropic_counts_what_is_sent():
    """count_tokens is the usage of the same request, with documents, tools and system."""
    for more in ({}, {"system": "You are a parrot."}, {"tools": [WEATHER, TIME]},
                 {"messages": said(document(text_source("ten words that count for something")))},
                 {"messages": turn("MARKED"), "tools": [WEATHER]},
                 {"model": "strict", "messages": [*said("a"), {"role": "system", "content": "b"}]}):
        body = {"model": "plain", "messages": said("hi"), **more}
        usage = ask("/v1/messages", {**body, "max_tokens": 5})["usage"]
        count = ask("/v1/messages/count_tokens", body)["input_tokens"]
        assert count == usage["input_tokens"] + usage["cache_read_input_tokens"], (more, count, usage)
    refusal("application/pdf", document(PDF), path="/v1/messages/count_tokens")


def anthropic_heads():
    """Versions and betas may be there or not; each answer has an id."""
    for headers in ({}, {"anthropic-version": "2023-06-01", "anthropic-beta": "a-2026-01-01,b"}):
        status, fields, _ = server().ask({"model": "plain", "max_tokens": 5, "messages": said("hi")},
                                         "/v1/messages?beta=true", headers=headers)
        assert status == 200 and fields["request-id"], fields
    status, fields, _ = server().ask({"model": "nobody", "max_tokens": 5, "messages": said("hi")},
                                     "/v1/messages")
    assert status == 404 and fields["request-id"], fields


# ---- Ollama: /api/chat, /api/generate ----

FUNCTIONS = [{"type": "function", "function": {
    "name": t["name"], "description": "A tool.", "parameters": t["input_schema"]}} for t in (WEATHER, TIME)]


def ollama(path, status=200, model="plain", **body):
    return ask("/api/" + path, {"model": model, "stream": False, **body}, status)


def ollama_lines(path, model="plain", **body):
    status, fields, data = server().ask({"model": model, **body}, "/api/" + path, timeout=120)
    assert status == 200 and fields["content-type"] == "application/x-ndjson", (status, data)
    lines = [json.loads(line) for line in data.decode().splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True], lines
    return lines


def ollama_answers():
    """Whole and as lines, from a chat and from a prompt; the last line has the counts."""
    whole = ollama("chat", messages=said("STOPPER"))
    assert whole["message"] == {"role": "assistant", "content": parrot.ANSWERS["STOPPER"]}, whole
    assert whole["done_reason"] == "stop" and whole["eval_count"] > 5 < whole["prompt_eval_count"]
    lines = ollama_lines("chat", messages=said("STOPPER"))
    assert "".join(line["message"]["content"] for line in lines) == parrot.ANSWERS["STOPPER"]
    assert len(lines) > 5 and lines[-1]["total_duration"] > 0, lines[-1]
    lines = ollama_lines("generate", prompt="STOPPER")
    assert "".join(line["response"] for line in lines) == parrot.ANSWERS["STOPPER"]
    assert ollama("generate", prompt="x", system="MARKED")["response"] == parrot.MARK_SEEN
    assert ollama("generate", prompt="x", raw=True)["response"] == parrot.HELLO
    short = ollama("generate", prompt="ENDLESS", options={"num_predict": 3})
    assert (short["done_reason"], short["eval_count"]) == ("length", 3), short
    assert ollama("generate", prompt="STOPPER", options={"stop": ["gamma"]})["response"] == "alpha beta "


def ollama_tools():
    """Each call is a line of its own as soon as it is whole; results are found by id or name."""
    lines = ollama_lines("chat", messages=said("TWOCALLS"), tools=FUNCTIONS)
    calls = [line["message"]["tool_calls"] for line in lines if "tool_calls" in line["message"]]
    assert [[c["function"]["arguments"] for c in some] for some in calls] == [
        [{"city": "Rome"}], [{"zone": "UTC+1"}]], lines
    assert [some[0]["function"]["index"] for some in calls] == [0, 1] and calls[0][0]["id"], calls
    assert lines[-1]["done_reason"] == "stop", lines[-1]
    both = ollama("chat", messages=said("TWOCALLS"), tools=FUNCTIONS)["message"]["tool_calls"]
    assert [c["function"]["name"] for c in both] == ["get_weather", "get_time"], both
    call = {"function": {"name": "get_weather", "arguments": {"city": "Rome"}}}
    past = [*said("x"), {"role": "assistant", "content": "", "tool_calls": [call]}]
    for result in ({"tool_name": "get_weather"}, {"tool_call_id": "call_0"}, {}):
        done = ollama("chat", tools=FUNCTIONS,
                      messages=[*past, {"role": "tool", "content": "fine", **result}])
        assert done["message"]["content"] == parrot.TOOLDONE, done
    marked = ollama("chat", tools=FUNCTIONS, messages=[*past, {"role": "tool", "content": "MARKED"}])
    assert marked["message"]["content"] == parrot.MARK_SEEN, marked
    assert "tools" in ollama("chat", 400, messages=said("x"), tools=[{"type": "web"}])["error"]


def ollama_thinking():
    """true, false, and how hard; thoughts in a history reach the model."""
    def think(text="THINKING", **more):
        return ollama("chat", model="think", messages=said(text), **more)["message"]
    for more in ({}, {"think": True}):
        assert think(**more)["thinking"].startswith("First I") and think()["content"].endswith("42.")
    assert think(think=False) == {"role": "assistant", "content": parrot.NO_THOUGHTS}
    for effort in ("low", "high"):
        assert think("EFFORT", think=effort)["content"] == parrot.ANSWERS["EFFORT" + effort.upper()]
    past = [{"role": "assistant", "content": "y", "thinking": "MARKED"}, *said("x")]
    assert ollama("chat", model="think", messages=past)["message"]["content"] == parrot.MARK_SEEN
    thought = ollama("generate", model="think", prompt="THINKING")
    assert thought["thinking"].startswith("First I") and thought["response"].endswith("42.")
    lines = ollama_lines("chat", model="think", messages=said("THINKING"))
    assert "".join(line["message"].get("thinking", "") for line in lines).startswith("First I reason")


def ollama_formats():
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}
    for raw in (False, True):
        text = ollama("generate", prompt="hi", format=schema, raw=raw, options={"num_predict": 300})
        assert isinstance(json.loads(text["response"])["ok"], bool), text
    text = ollama("chat", messages=said("hi"), format=schema, options={"num_predict": 300})
    assert isinstance(json.loads(text["message"]["content"])["ok"], bool), text
    assert "format" in ollama("chat", 400, messages=said("hi"), format="xml")["error"]


def ollama_keeps_a_model_as_it_is_told():
    """Durations as Go reads them: a text needs a unit, a number is seconds."""
    def expires():
        return [m["expires_at"] for m in json.loads(server().request("GET", "/api/ps")[2])["models"]
                if m["name"] == "plain:latest"]
    for keep, there in ((-1, True), ("-1m", True), (0, False), ("0", False), ("5m", True), (300, True),
                        ("1h30m", True)):
        ollama("generate", prompt="hi", keep_alive=keep)
        wait_until(lambda: bool(expires()) == there, f"{keep}: {expires()}")
    for keep in ("-1", "300", "abc"):
        assert "keep_alive" in ollama("generate", 400, prompt="hi", keep_alive=keep)["error"], keep
    assert ollama("generate", prompt="", keep_alive=0)["done_reason"] == "unload"
    assert ollama("chat", messages=[])["done_reason"] == "load"


def ollama_refuses_by_name():
    for name, value in (("template", "x"), ("context", [1]), ("width", 64), ("images", ["nope"])):
        assert name in ollama("generate", 400, prompt="x", **{name: value})["error"], name
    picture = "iVBORw0KGgo="
    for path, more in (("generate", {"prompt": "x", "images": [picture]}),
                       ("chat", {"messages": [{"role": "user", "content": "x", "images": [picture]}]})):
        assert "image input is not supported" in ollama(path, 400, **more)["error"]
    assert "images" in ollama("generate", 400, prompt="x", raw=True, images=[picture])["error"]


# ---- what cannot be kept, in each of the four ----

def in_each(schema=None, tool=None, content=None):
    """(name of the dialect, path, body) of a chat with this schema, parameters of a tool or content."""
    function = {"name": "f", "parameters": tool}
    form = {"type": "json_schema", "name": "f", "schema": schema}
    return (
        ("chat", "/v1/chat/completions", {
            "messages": said(content or "hi"), "max_tokens": 5,
            **({"response_format": {"type": "json_schema", "json_schema": form}} if schema else {}),
            **({"tools": [{"type": "function", "function": function}]} if tool else {})}),
        ("responses", "/v1/responses", {
            "input": said(content or "hi"), "max_output_tokens": 5,
            **({"text": {"format": form}} if schema else {}),
            **({"tools": [{"type": "function", **function}]} if tool else {})}),
        ("messages", "/v1/messages", {
            "messages": said(content or "hi"), "max_tokens": 5,
            **({"output_config": {"format": form}} if schema else {}),
            **({"tools": [{"name": "f", "input_schema": tool}]} if tool else {})}),
        ("ollama", "/api/chat", {
            "messages": said(content or "hi"), "stream": False, "options": {"num_predict": 5},
            **({"format": schema} if schema else {}),
            **({"tools": [{"type": "function", "function": function}]} if tool else {})}),
    )


def told(answer):
    error = answer["error"]
    return error if isinstance(error, str) else error["message"]


NAMES = {"chat": "response_format", "responses": "text.format", "messages": "output_config.format",
         "ollama": "format"}


def schemas_that_cannot_be_kept_are_refused():
    """By the member's name and the keyword: what the engine drops, cannot read, or would never end."""
    text = {"type": "string"}
    for schema, word in (({"not": text}, "not"), ({"type": "array", "uniqueItems": True}, "uniqueItems"),
                         ({"type": "object", "patternProperties": {"^a": text}}, "patternProperties"),
                         ({"type": "object", "properties": {"a": {"multipleOf": 3}}}, "multipleOf"),
                         ({"anyOf": [text, {"if": text}]}, "'if'"),
                         ({"$ref": "https://example.org/a"}, "https://example.org/a"),
                         ({"type": "foo"}, "foo"),
                         ({"type": "string", "minLength": 5, "maxLength": 1}, "minLength"),
                         ({"type": "array", "items": text, "minItems": 5, "maxItems": 1}, "minItems")):
        for name, path, body in in_each(schema=schema):
            answer = told(ask(path, {"model": "plain", **body}, 400))
            assert NAMES[name] in answer and word in answer, (name, schema, answer)
    for name, path, body in in_each(schema={"type": "object", "properties": {
            "not": text, "if": {"type": "integer", "minimum": 1, "maximum": 9}}}):
        ask(path, {"model": "plain", **body})  # names of properties are free


def tools_that_cannot_be_called_are_refused():
    for tool in ({"type": "object", "properties": {"a": {"minLength": 5, "maxLength": 1}}},
                 {"type": "object", "properties": {"a": {"type": "foo"}}}):
        for name, path, body in in_each(tool=tool):
            assert "tools" in told(ask(path, {"model": "plain", **body}, 400)), name
    for name, path, body in in_each(tool={"type": "object", "properties": {"a": {"not": {}}}}):
        ask(path, {"model": "plain", **body})  # a hint to the model, as everywhere
        for model in ("deaf", "bare"):  # whose templates have no place for tools
            answer = told(ask(path, {"model": model, **body}, 400))
            assert answer.startswith(model + " does not support tools"), (name, answer)
            ask(path, {"model": model, **{k: v for k, v in body.items() if k != "tools"}})


def documents_that_cannot_be_read_are_refused():
    pdf = "data:application/pdf;base64,JVBERi0="
    parts = {
        "chat": [{"type": "file", "file": {"filename": "a.pdf", "file_data": pdf}}],
        "responses": [{"type": "input_file", "filename": "a.pdf", "file_data": pdf}],
        "messages": document(PDF),
        "ollama": None,  # it has none: pictures alone
    }
    for name, path, body in in_each():
        if parts[name]:
            key = "input" if name == "responses" else "messages"
            answer = told(ask(path, {"model": "plain", **body, key: said(parts[name])}, 400))
            assert "file" in answer or "pdf" in answer, (name, answer)
    pictures = [{"role": "user", "content": "x", "images": ["JVBERi0="]}]
    assert "images" in ollama("chat", 400, messages=pictures)["error"]


# ---- OpenAI: /v1/chat/completions and /v1/responses ----

FUNCTIONS = [{"type": "function", "function": {"name": tool["name"], "parameters": tool["input_schema"]}}
             for tool in (WEATHER, TIME)]
FLAT = [{"type": "function", **tool["function"]} for tool in FUNCTIONS]
PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
          "required": ["name", "age"], "additionalProperties": False}


def completion(text="hi", status=200, **more):
    return ask("/v1/chat/completions", {"model": "plain", "messages": said(text), **more}, status)


def choice_of(*arguments, **more):
    return completion(*arguments, **more)["choices"][0]


def called(choice):
    return [(c["function"]["name"], json.loads(c["function"]["arguments"]))
            for c in choice["message"].get("tool_calls") or []]


def response(given="hi", status=200, **more):
    return ask("/v1/responses", {"model": "plain", "input": given, **more}, status)


def kinds(answer):
    return [item["type"] for item in answer["output"]]


def output(answer):
    return "".join(part["text"] for item in answer["output"] if item["type"] == "message"
                   for part in item["content"])


def openai_refusal(answer, param, needle=""):
    error = answer["error"]
    assert error["type"] == "invalid_request_error" and error["param"] == param, answer
    assert needle in error["message"], answer


def openai_system_messages_anywhere():
    """On a template that refuses them, and on one that takes them: the model sees each of them."""
    for model in ("plain", "strict"):
        for role in ("system", "developer"):
            late = {"role": role, "content": "MARKED"}
            for messages in ([late] + said("hi"), said("hi") + [late], said("a") + [
                    {"role": "assistant", "content": "b"}, late] + said("c"),
                    [{"role": "system", "content": "a"}, late] + said("hi")):
                answer = completion(model=model, messages=messages)
                assert answer["choices"][0]["message"]["content"] == parrot.MARK_SEEN, (model, messages)
                assert output(response(messages, model=model, instructions="x")) == parrot.MARK_SEEN


def openai_broken_arguments_in_a_history():
    """An agent that sends back what the model was cut off in gets an answer, not a 500."""
    for arguments in ('{"city": "Par', "", "[1]", "5", "none"):
        call_ = {"id": "c1", "type": "function",
                 "function": {"name": "get_weather", "arguments": arguments}}
        choice = choice_of(tools=FUNCTIONS, messages=said("x") + [
            {"role": "assistant", "content": "", "tool_calls": [call_]},
            {"role": "tool", "tool_call_id": "c1", "content": "error"}])
        assert choice["message"]["content"] == parrot.TOOLDONE, (arguments, choice)
        answer = response(said("x") + [
            {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": arguments},
            {"type": "function_call_output", "call_id": "c1", "output": "error"}], tools=FLAT)
        assert output(answer) == parrot.TOOLDONE, (arguments, answer)


def openai_tool_choice():
    name = {"name": "get_weather"}
    assert called(choice_of("WEATHER", tools=FUNCTIONS, tool_choice="required"))
    for choice in ({"type": "function", "function": name},
                   {"type": "allowed_tools", "allowed_tools": {
                       "mode": "required", "tools": [{"type": "function", "function": name}]}}):
        assert called(choice_of("WEATHER", tools=FUNCTIONS, tool_choice=choice)) == [
            ("get_weather", {"city": "Paris"})], choice
    unknown = {"type": "function", "function": {"name": "nobody"}}
    openai_refusal(completion(status=400, tools=FUNCTIONS, tool_choice=unknown), "tool_choice")
    for choice in ({"type": "function", **name}, {"type": "allowed_tools", "mode": "auto",
                                                  "tools": [{"type": "function", **name}]}):
        assert kinds(response("WEATHER", tools=FLAT, tool_choice=choice)) == ["function_call"]
    for stream in (False, True):  # an answer ends after its first call
        _, _, data = server().ask({"model": "plain", "messages": said("TWOCALLS"), "tools": FUNCTIONS,
                                   "parallel_tool_calls": False, "stream": stream}, timeout=120)
        assert b"get_weather" in data and b"get_time" not in data, data
    assert len(kinds(response("TWOCALLS", tools=FLAT))) == 2
    assert len(kinds(response("TWOCALLS", tools=FLAT, parallel_tool_calls=False))) == 1


def openai_schema_beside_tools():
    """The model may call a tool first; what it says in the end has the schema."""
    form = {"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON}}
    flat = {"format": {"type": "json_schema", "name": "p", "schema": PERSON}}
    for model in ("plain", "strict"):
        late = said("x") + [{"role": "system", "content": "late"}]
        for text in ("WEATHER", "PERSON"):
            choice = choice_of(model=model, messages=late + said(text), tools=FUNCTIONS,
                               response_format=form)
            answer = response(late + said(text), model=model, tools=FLAT, text=flat)
            if text == "WEATHER":
                assert called(choice) == [("get_weather", {"city": "Paris"})], choice
                assert kinds(answer) == ["function_call"], answer
            else:
                assert json.loads(choice["message"]["content"])["age"] == 36, choice
                assert json.loads(output(answer))["age"] == 36, answer


def openai_counts():
    """Several choices: the usage has the tokens of all. Probabilities as many as asked for."""
    one, two = completion(), completion(n=2)
    assert [c["index"] for c in two["choices"]] == [0, 1]
    assert two["usage"]["completion_tokens"] == 2 * one["usage"]["completion_tokens"], two
    _, _, data = server().ask({"model": "plain", "messages": said("hi"), "n": 2, "stream": True,
                               "stream_options": {"include_usage": True}}, timeout=120)
    last = json.loads(events_of(data)[-2])
    assert last["choices"] == [] and last["usage"] == two["usage"] | {
        "prompt_tokens_details": last["usage"]["prompt_tokens_details"]}, last
    for more, n in (({}, 0), ({"top_logprobs": 2}, 2)):
        tokens = choice_of(logprobs=True, **more)["logprobs"]["content"]
        assert "".join(t["token"] for t in tokens) == parrot.HELLO
        assert all(len(t["top_logprobs"]) == n for t in tokens), tokens
    answer = response(include=["message.output_text.logprobs"], top_logprobs=1)
    tokens = answer["output"][0]["content"][0]["logprobs"]
    assert "".join(t["token"] for t in tokens) == parrot.HELLO, tokens
    usage = response("THINKING", model="think")["usage"]
    assert 0 < usage["output_tokens_details"]["reasoning_tokens"] < usage["output_tokens"], usage
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], usage


def openai_files_of_text():
    """A text file reaches the model; a PDF is refused by name."""
    for data, known in (("data:text/plain;base64,TUFSS0VE", True),
                        ("data:application/pdf;base64,TUFSS0VE", False)):
        file = {"filename": "f", "file_data": data}
        status = 200 if known else 400
        chat = completion([{"type": "file", "file": file}], status)
        answer = response([{"role": "user", "content": [{"type": "input_file", **file}]}], status)
        if known:
            assert chat["choices"][0]["message"]["content"] == parrot.MARK_SEEN, chat
            assert output(answer) == parrot.MARK_SEEN, answer
        else:
            openai_refusal(chat, "messages", "'file'")
            openai_refusal(answer, "input", "'input_file'")


def openai_refuses_by_name():
    for field, value in {"audio": {"voice": "a", "format": "wav"}, "modalities": ["audio"],
                         "web_search_options": {}, "functions": [{"name": "f"}],
                         "tools": [{"type": "custom", "custom": {"name": "f"}}],
                         "response_format": {"type": "xml"}}.items():
        openai_refusal(completion(status=400, **{field: value}), field)
    for field, value in {"background": True, "conversation": "c", "previous_response_id": "r",
                         "prompt": {"id": "p"}, "tools": [{"type": "file_search"}]}.items():
        openai_refusal(response(status=400, **{field: value}), field, field.rstrip("s"))
    for more in ({}, {"stream": True}):  # before the stream begins
        custom = [{"type": "custom", "name": "apply_patch"}, {"type": "function", "name": "f", "parameters": {}}]
        refused = response(status=400, tools=custom, **more)
        openai_refusal(refused, "tools", "'custom'")
        assert "apply_patch" in refused["error"]["message"], refused
    openai_refusal(response(status=400, text={"format": {"type": "xml"}}), "text.format", "xml")
    openai_refusal(response([{"type": "item_reference", "id": "i"}], 400), "input", "item_reference")
    assert server().request("GET", "/v1/responses/resp_1")[0] == 404
    assert server().request("DELETE", "/v1/responses/resp_1")[0] == 404
    ask("/v1/responses/resp_1/cancel", {}, 501)


def responses_stream(text, **more):
    """The events, whose numbers have no gaps and whose parts stand where they belong; the response."""
    _, fields, data = server().ask({"model": "think", "input": text, "stream": True, **more},
                                   "/v1/responses", timeout=120)
    assert fields["content-type"].startswith("text/event-stream"), fields
    events, items = [], []
    for part in data.decode().strip().split("\n\n"):
        name, value = part.split("\n")
        events.append(json.loads(value.removeprefix("data: ")))
        assert name == "event: " + events[-1]["type"], part
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    for e in events:
        kind = e["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert e["output_index"] == len(items) and e["item"]["status"] == "in_progress", e
            items.append({"id": e["item"]["id"], "text": "", "done": False})
        elif "output_index" in e:
            item = items[e["output_index"]]
            assert e.get("item_id", item["id"]) == item["id"] and not item["done"], e
            item["text"] += e["delta"] if kind.endswith(".delta") else ""
            whole = e.get("arguments" if kind.startswith("function") else "text")
            assert whole is None or whole == item["text"], e
            item["done"] = kind == "output_item.done"
    assert [e["type"] for e in events[:2]] == ["response.created", "response.in_progress"]
    answer = events[-1]["response"]
    assert [item["id"] for item in items] == [item["id"] for item in answer["output"]], answer
    return events[-1]["type"], answer


def responses_stream_as_the_api_says():
    kind, thought = responses_stream("THINKING", include=["reasoning.encrypted_content"])
    assert kind == "response.completed" and kinds(thought) == ["reasoning", "message"], thought
    back = response(said("MARK") + thought["output"] + said("hi"), model="think")
    assert output(back) == parrot.HELLO, back
    assert kinds(responses_stream("TWOCALLS", tools=FLAT)[1]) == ["function_call"] * 2
    assert kinds(responses_stream("TEXTCALL", tools=FLAT)[1]) == ["message", "function_call"]
    kind, cut = responses_stream("ENDLESS", max_output_tokens=3)
    assert kind == "response.incomplete" and cut["status"] == "incomplete", cut
    assert cut["incomplete_details"] == {"reason": "max_output_tokens"}, cut
    assert cut["output"][0]["status"] == "incomplete", cut
    assert response("ENDLESS", max_output_tokens=3)["status"] == "incomplete"
    assert kinds(responses_stream("EMPTY")[1]) == ["message"]
    off = response("THINKING", model="think", reasoning={"effort": "none"})
    assert output(off) == parrot.NO_THOUGHTS and kinds(off) == ["message"], off


CASES = [
    ("a model without a template writes", a_model_without_a_template_writes),
    ("Anthropic: system texts", anthropic_reads_system_texts),
    ("Anthropic: documents", anthropic_reads_documents),
    ("Anthropic: images", anthropic_images_are_in_the_request),
    ("Anthropic: tools", anthropic_tools),
    ("Anthropic: tool_choice", anthropic_tool_choice),
    ("Anthropic: what runs elsewhere is refused", anthropic_refuses_what_runs_elsewhere),
    ("Anthropic: thinking", anthropic_thinking),
    ("Anthropic: how an answer ends", anthropic_ends),
    ("Anthropic: formats", anthropic_formats),
    ("Anthropic: streams", anthropic_streams),
    ("Anthropic: count_tokens", anthropic_counts_what_is_sent),
    ("Anthropic: heads", anthropic_heads),
    ("Ollama: answers", ollama_answers),
    ("Ollama: tools", ollama_tools),
    ("Ollama: thinking", ollama_thinking),
    ("Ollama: formats", ollama_formats),
    ("Ollama: keep_alive", ollama_keeps_a_model_as_it_is_told),
    ("Ollama: what cannot be done is refused by name", ollama_refuses_by_name),
    ("schemas that cannot be kept are refused", schemas_that_cannot_be_kept_are_refused),
    ("tools that cannot be called are refused", tools_that_cannot_be_called_are_refused),
    ("documents that cannot be read are refused", documents_that_cannot_be_read_are_refused),
    ("OpenAI: system messages anywhere", openai_system_messages_anywhere),
    ("OpenAI: broken arguments in a history", openai_broken_arguments_in_a_history),
    ("OpenAI: tool_choice", openai_tool_choice),
    ("OpenAI: a schema beside tools", openai_schema_beside_tools),
    ("OpenAI: usage, choices, probabilities", openai_counts),
    ("OpenAI: files", openai_files_of_text),
    ("OpenAI: what cannot be done is refused", openai_refuses_by_name),
    ("OpenAI: streams of responses", responses_stream_as_the_api_says),
]

if __name__ == "__main__":
    try:
        tap.run(CASES)
    finally:
        if "server" in SHARED:
            SHARED["server"].stop()

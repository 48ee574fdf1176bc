#!/usr/bin/env python3
"""parrot.py KIND OUT.gguf: models whose answer a trigger word in the request chooses.

The real engine runs them on the CPU, some thousand tokens a second. They are for tests of everything
around a model: tools, thinking, formats, stop words, limits, the APIs. Use from a test:

    import parrot
    path = parrot.write(os.path.join(top, "parrot.gguf"))                  # plain
    path = parrot.write(os.path.join(top, "late.gguf"), "strict")
    path = parrot.write(os.path.join(top, "agent.gguf"), "short", {"RUNIT": parrot.call("bash", {"command": "ls"})})
    path = parrot.write_embedder(os.path.join(top, "embedder.gguf"))
    call("--data-dir", DATA, "import", path, "--name", "parrot")

KINDS: plain; strict (a system message that is not the first is refused, as Qwen does); think (knows
enable_thinking and reasoning_effort); short (of each system text and tool 300 characters go into the
prompt, so that an agent's 100 KB do); strict-short; counted (a quarter of all characters goes into the prompt,
which makes as many tokens as a real tokenizer; one character is one token otherwise); deaf (a
template without tools); bare (no template). context= sets the model's own context (32768).

ANSWERS are the triggers, which are looked for in the last user message; an answer of one's own is one
more entry. TOOLDONE is the answer to a tool's result. MARKED anywhere in the prompt (system text,
document, thinking, tool, result) is answered by MARK_SEEN before all others: so a test sees what
arrived. Without a trigger the answer is HELLO.

How it works: attention and feed-forward are zero, so the last token alone decides the next one. The
template looks for the triggers and ends the prompt with a token of the answer that it chose. Each
answer is cut into tokens of its own, of which each names the next. With a grammar (a schema, a tool
that must be called) the engine takes the script as long as the grammar allows it; outside of it all
tokens are equally likely.
"""
import array
import json
import os
import random
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gguf  # noqa: E402

HELLO = "Hello from the parrot."
MARK_SEEN = "A mark was seen."
TOOLDONE = "The tool has answered."
NO_THOUGHTS = "No thoughts: 42."


def call(name, arguments):
    """The text of a call of a tool, as Hermes' models write it."""
    return ('<tool_call>\n{"name": "%s", "arguments": %s}\n</tool_call>'
            % (name, json.dumps(arguments, ensure_ascii=False)))


ANSWERS = {
    "HELLO": HELLO,
    "MARKED": MARK_SEEN,
    "TOOLDONE": TOOLDONE,
    "WEATHER": call("get_weather", {"city": "Paris"}),
    "TWOCALLS": call("get_weather", {"city": "Rome"}) + "\n" + call("get_time", {"zone": "UTC+1"}),
    "NOARGUMENTS": call("get_now", {}),
    "TEXTCALL": "I look it up.\n" + call("get_weather", {"city": 'Oslo "north" \u00e9'}),
    "JSONOUT": '{"a": 1, "b": "xyzzy"}',
    "PERSON": '{"name": "Ada Lovelace", "age": 36}',
    "FENCED": '```json\n{"q": 7}\n```',
    "STOPPER": "alpha beta gamma delta epsilon zeta",
    "THINKING": "<think>\nFirst I reason about it.\n</think>\n\nThe final word is 42.",
    "NOTHOUGHT": NO_THOUGHTS,
    "EFFORT": "medium work",
    "EFFORTLOW": "little toil",
    "EFFORTHIGH": "hard labour",
    "ENDLESS": ["lorem ", "ipsum ", "dolor ", "sit amet "],  # round and round
    "EMOJI": [f"<0x{byte:02X}>" for byte in "\U0001F600".encode()] + [" smiles"],  # four tokens
    "EMPTY": [],
}
ROUND = {"ENDLESS"}
# The engine looks for these as words of a text: a token that is one of them would have to be declared to it.
MARKUP = "<tool_call>\n</tool_call>\n<think>\n</think>\n\n"

KINDS = {
    "plain": {},
    "strict": {"strict": True},
    "think": {"think": True},
    "short": {"cut": "[:300]"},
    "strict-short": {"strict": True, "cut": "[:300]"},
    "counted": {"cut": "[:N]"},
    "deaf": {"tools": False},
    "bare": {"template": False},
}

TOOLS = """{%- if tools %}<|im_start|>system
# Tools
<tools>{% for tool in tools %}{% set text = tool | tojson %}{% set ns.all = ns.all ~ text %}
CUT(text){% endfor %}
</tools>
For each call return a json object within <tool_call></tool_call> tags:
<tool_call>
{"name": <name>, "arguments": <object>}
</tool_call><|im_end|>
{% endif -%}
"""
CALLS = """{% if m.tool_calls %}{% for c in m.tool_calls %}
<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% set ns.all = ns.all ~ (c.function.arguments | tojson) %}{% endfor %}{% endif %}"""
RESULT = """{%- elif m.role == 'tool' -%}<|im_start|>user
<tool_response>
{{ m.content }}
</tool_response><|im_end|>
"""
REFUSE = """{%- if m.role == 'system' and not loop.first %}\
{{ raise_exception('The system message must be the first.') }}{% endif -%}
"""
THOUGHTS = """{% if m.reasoning_content %}<think>
{{ m.reasoning_content }}
</think>

{% set ns.all = ns.all ~ m.reasoning_content %}{% endif %}"""


def template(selectors, *, strict=False, think=False, tools=True, cut=""):
    """The chat template; selectors: {trigger: token}."""
    def shown(name):
        if cut == "[:N]":
            return "{{ %s[:((%s | length) / 4) | int] }}" % (name, name)
        return "{{ %s%s }}" % (name, cut)

    def choose(condition, trigger):
        return "{%%- elif %s %%}{%% set ns.answer = '%s' %%}\n" % (condition, selectors[trigger])

    out = ["{%- set ns = namespace(text='', all='', last='', answer='') -%}\n"]
    if tools:
        out.append(TOOLS.replace("CUT(text)", shown("text")))
    out.append("{%- for m in messages -%}\n{%- set ns.last = m.role -%}\n")
    out.append("{%- if m.content %}{% set ns.all = ns.all ~ m.content %}{% endif -%}\n")
    out.append(REFUSE if strict else "")
    out.append("{%- if m.role == 'user' %}{% set ns.text = m.content %}{% endif -%}\n"
               "{%- if m.role == 'system' -%}<|im_start|>system\n" + shown("m.content") + "<|im_end|>\n"
               "{% elif m.role == 'user' -%}<|im_start|>user\n" +
               (shown("m.content") if cut == "[:N]" else "{{ m.content }}") + "<|im_end|>\n"
               "{% elif m.role == 'assistant' -%}<|im_start|>assistant\n")
    out.append((THOUGHTS if think else "") + "{{ m.content }}" + (CALLS if tools else "") + "<|im_end|>\n")
    out.append(RESULT if tools else "")
    out.append("{% endif -%}\n{%- endfor -%}\n")
    out.append("{%%- if 'MARKED' in ns.all %%}{%% set ns.answer = '%s' %%}\n" % selectors["MARKED"])
    if tools:
        out.append(choose("ns.last == 'tool'", "TOOLDONE"))
    if think:
        out.append(choose("'THINKING' in ns.text and enable_thinking is defined and not enable_thinking",
                          "NOTHOUGHT"))
        for level in ("low", "high"):
            out.append(choose("'EFFORT' in ns.text and reasoning_effort is defined and "
                              f"reasoning_effort == '{level}'", "EFFORT" + level.upper()))
    # The longest first: "EFFORT" is in "EFFORTLOW".
    for trigger in sorted(selectors, key=len, reverse=True):
        if trigger not in ("HELLO", "MARKED", "TOOLDONE"):
            out.append(choose(f"'{trigger}' in ns.text", trigger))
    out.append("{%%- else %%}{%% set ns.answer = '%s' %%}{%%- endif -%%}\n" % selectors["HELLO"])
    out.append("{%- if add_generation_prompt -%}<|im_start|>assistant\n")
    out.append("{{ ns.answer }}{%- endif -%}")
    return "".join(out)


class Words:
    """The vocabulary, and which token follows which."""

    def __init__(self):
        self.tokens, self.kinds, self.place, self.next = [], [], {}, {}
        for text, kind in (("<unk>", 2), ("<s>", 3), ("</s>", 3)):
            self.add(text, kind)
        for byte in range(256):
            self.add(f"<0x{byte:02X}>", 6)
        for text in ["\u2581"] + [chr(c) for c in range(33, 127)]:
            self.add(text, 1)
        self.add("<|im_start|>", 3)
        self.end = self.add("<|im_end|>", 3)

    def add(self, text, kind):
        assert text not in self.place, f"two tokens {text!r}"
        self.place[text] = len(self.tokens)
        self.tokens.append(text)
        self.kinds.append(kind)
        return self.place[text]

    def cut(self, text):
        """Pieces of the text that are no token yet: mostly of four characters; of the marks of thinking
        each is one, which the engine's budget of thinking looks for."""
        if "<think>" in text and "<think>" not in self.place:
            before, inside, after = re.split("</?think>", text, maxsplit=2)
            return [*self.cut(before), "<think>", *self.cut(inside), "</think>", *self.cut(after)]
        out, at = [], 0
        while at < len(text):
            n = 4
            while at + n < len(text) and (text[at:at + n] in self.place or text[at:at + n] in out
                                          or text[at:at + n] in MARKUP):
                n += 1
            out.append(text[at:at + n])
            at += n
        while len(out) > 1 and (out[-1] in self.place or out[-1] in out[:-1]):
            out[-2:] = [out[-2] + out[-1]]  # the rest of a text may be a token of another one
        return out

    def script(self, answer, around):
        """Tokens of the answer, each the next of the one before; the first."""
        pieces = self.cut(answer) if isinstance(answer, str) else answer
        numbers = [self.place[p] if p.startswith("<0x") else self.add(p, 4) for p in pieces]
        last = numbers[:1] if around else [self.end]
        self.next.update(zip(numbers, numbers[1:] + last))
        return (numbers + [self.end])[0]


def floats(*numbers):
    return array.array("f", numbers).tobytes()


def write(path, kind="plain", more=None, *, context=32768):
    """A model of this kind at this path, which is given back; more: {trigger: answer}."""
    options = dict(KINDS[kind])
    words, selectors = Words(), {}
    for number, (trigger, answer) in enumerate({**ANSWERS, **(more or {})}.items()):
        selectors[trigger] = f"<|answer{number}|>"
        selector = words.add(selectors[trigger], 3)
        words.next[selector] = words.script(answer, trigger in ROUND)
    hello = words.next[words.place[selectors["HELLO"]]]
    width = -(-len(words.tokens) // 64) * 64  # one dimension a token
    while len(words.tokens) < width:
        words.add(f"<unused{len(words.tokens)}>", 5)

    f = gguf.File("llama")
    f.keys["general.name"] = (gguf.STRING, f"{kind} parrot")
    f.keys["general.file_type"] = (gguf.U32, 0)
    f.own(context_length=context, embedding_length=width, block_count=1, feed_forward_length=32,
          vocab_size=width, attention__head_count=1, attention__head_count_kv=1,
          attention__key_length=64, attention__value_length=64, rope__dimension_count=64,
          attention__layer_norm_rms_epsilon=1e-5)
    f.keys.update({
        "tokenizer.ggml.model": (gguf.STRING, "llama"), "tokenizer.ggml.pre": (gguf.STRING, "default"),
        "tokenizer.ggml.tokens": gguf.Array(gguf.STRING, words.tokens),
        "tokenizer.ggml.scores": gguf.Array(gguf.F32T, [-float(i) for i in range(width)]),
        "tokenizer.ggml.token_type": gguf.Array(gguf.I32, words.kinds),
        "tokenizer.ggml.bos_token_id": (gguf.U32, 1),
        "tokenizer.ggml.eos_token_id": (gguf.U32, words.end),
        "tokenizer.ggml.unknown_token_id": (gguf.U32, 0),
        "tokenizer.ggml.add_bos_token": (gguf.BOOL, False),
        "tokenizer.ggml.add_space_prefix": (gguf.BOOL, False),
    })
    if options.pop("template", True):
        f.keys["tokenizer.chat_template"] = (gguf.STRING, template(selectors, **options))
    reads, says = array.array("f", bytes(4 * width * width)), array.array("f", bytes(4 * width * width))
    for token in range(width):
        reads[token * width + token] = 1.0
        says[words.next.get(token, hello) * width + token] = 10.0
    f.tensor("token_embd.weight", width, width, data=reads.tobytes())
    f.tensor("output.weight", width, width, data=says.tobytes())
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        f.tensor(name + ".weight", width, data=floats(*[1.0] * width))
    gguf.attention(f, 0, width, 1, 1, 64, type=gguf.F32)
    gguf.mlp(f, 0, width, 32, type=gguf.F32)
    return f.write(path)


def write_embedder(path, *, width=64, context=128, ranks=False):
    """A small BERT with random weights, always the same: other texts have other vectors. One letter is
    one token. ranks: a reranker."""
    chance = random.Random(7)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    f = gguf.start("bert", layers=1, width=width, context=context, heads=4, heads_kv=4, ff=width,
                   vocabulary=128, words=gguf.wordpiece)
    f.tensors.clear()  # the embeddings have data here
    f.keys["tokenizer.ggml.tokens"].items[5:5 + 2 * len(letters)] = (
        ["\u2581" + c for c in letters] + list(letters))
    f.keys["general.file_type"] = (gguf.U32, 0)
    f.own(attention__layer_norm_epsilon=1e-12, attention__causal=False, pooling_type=4 if ranks else 1)

    def weights(name, *dims, scale=0.5):
        n = 1
        for dim in dims:
            n *= dim
        f.tensor(name, *dims, data=floats(*(chance.uniform(-scale, scale) for _ in range(n))))

    def norm(name):
        f.tensor(name + ".weight", width, data=floats(*[1.0] * width))
        f.tensor(name + ".bias", width)

    weights("token_embd.weight", width, 128)
    weights("position_embd.weight", width, context, scale=0.05)
    weights("token_types.weight", width, 2)
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        norm(name)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"):
        weights(f"blk.0.{name}.weight", width, width)
        f.tensor(f"blk.0.{name}.bias", width)
    if ranks:
        weights("cls.weight", width, width)
        f.tensor("cls.bias", width, data=floats(*[0.0] * width))
        weights("cls.output.weight", width, 1)
        f.tensor("cls.output.bias", 1, data=floats(0.0))
    return f.write(path)


if __name__ == "__main__":
    if sys.argv[1] == "embedder":
        write_embedder(sys.argv[2])
    else:
        write(sys.argv[2], sys.argv[1])

"""Every field of the requests of a public API, as the type files of its client library declare them.

    types = Types([path of a .d.ts file, ...], {"Shared": path of the file that is imported under it})
    for field in types.fields("ChatRequest"): ...

A Field has a path ("messages[role=user].content[type=text].text") and makes a request with nothing in
it but what is required, this field, and what the field stands in. Alternatives that are objects are
told apart by their literal member (type, role).
"""
import re

TOKEN = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[A-Za-z_$][\w$.]*|-?\d[\d._]*|=>|\.\.\.|\S""")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
SCALARS = {"string": "x", "number": 1, "boolean": True, "unknown": {}, "any": {}, "object": {}, "null": None,
           "undefined": None, "never": None}

# Of alternatives, these are what a field needs around it.
PREFERRED = {"[type=text]", "[role=user]", "[type=function]", "[type=input_text]"}


class Parser:
    """type: ("union", [types]), ("array", type), ("object", {name: (optional, type)}), ("name", name),
    ("literal", value), ("scalar", sample)."""

    def __init__(self, text):
        self.tokens = TOKEN.findall(COMMENT.sub(" ", text))
        self.at = 0

    def peek(self, ahead=0):
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ""

    def take(self, wanted=None):
        token = self.peek()
        assert wanted is None or token == wanted, (wanted, token, self.tokens[self.at - 5:self.at + 5])
        self.at += 1
        return token

    def skip(self, opens="{", closes="}"):
        """From an opening bracket to behind its closing one."""
        depth = 0
        while True:
            token = self.take()
            depth += (token == opens) - (token == closes)
            if depth == 0:
                return

    def type(self):
        if self.peek() == "|":
            self.take()
        alternatives = [self.postfix()]
        while self.peek() in ("|", "&"):
            if self.take() == "|":
                alternatives.append(self.postfix())
            else:
                self.postfix()  # (string & {}): the first says what it is
        return alternatives[0] if len(alternatives) == 1 else ("union", alternatives)

    def postfix(self):
        found = self.primary()
        while self.peek() == "[":
            self.take()
            if self.peek() == "]":
                found = ("array", found)
            else:
                self.type()
                found = ("scalar", "x")
            self.take("]")
        return found

    def primary(self):
        while self.peek() in ("readonly", "typeof", "keyof"):
            self.take()
        token = self.peek()
        if token == "{":
            return ("object", self.members())
        self.take()
        if token == "(":
            found = self.type()
            self.take(")")
            return found
        if token[0] in "'\"":
            return ("literal", token[1:-1])
        if token[0].isdigit() or token in ("true", "false"):
            return ("literal", {"true": True, "false": False}.get(token) if token.isalpha() else float(token))
        arguments = []
        if self.peek() == "<":
            self.take()
            while self.peek() != ">":
                arguments.append(self.type())
                if self.peek() == ",":
                    self.take()
            self.take(">")
        if token == "Array":
            return ("array", arguments[0])
        if token == "Record":
            return ("scalar", {})
        if token == "Partial":
            return ("partial", arguments[0])
        return ("scalar", SCALARS[token]) if token in SCALARS else ("name", token)

    def members(self):
        found = {}
        self.take("{")
        while self.peek() != "}":
            if self.peek() == "[":
                self.skip("[", "]")
                self.take(":")
                self.type()
            else:
                name = self.take().strip("'\"")
                optional = self.peek() == "?"
                if optional:
                    self.take()
                self.take(":")
                found[name] = (optional, self.type())
            if self.peek() in (";", ","):
                self.take()
        self.take("}")
        return found

    def declarations(self, prefix=""):
        found = {}
        while self.at < len(self.tokens) and self.peek() != "}":
            token = self.take()
            if token == "interface":
                name, bases = self.take(), []
                while self.peek() != "{":
                    bases.append(self.take())
                found[prefix + name] = ("interface", [b for b in bases if b not in ("extends", ",")],
                                        self.members())
            elif token == "type" and self.peek(1) == "=":
                name = self.take()
                self.take("=")
                found[prefix + name] = self.type()
            elif token == "namespace":
                name = self.take()
                self.take("{")
                found.update(self.declarations(f"{prefix}{name}."))
                self.take("}")
            elif token == "{":
                self.at -= 1
                self.skip()
        return found


class Field:
    def __init__(self, path, wrap, sample, without):
        self.path, self.wrap, self.sample, self.without = path, wrap, sample, without

    def request(self, *value):
        """The least request with this field, of this value when one is given. (without: the same without
        it; None: it is an alternative.)"""
        return self.wrap(*(value or (self.sample,)))


class Types:
    def __init__(self, files, imported=None):
        self.found = {}
        for prefix, path in [("", f) for f in files] + [(n + ".", f) for n, f in (imported or {}).items()]:
            with open(path, encoding="utf-8") as f:
                self.found.update(Parser(f.read()).declarations(prefix))

    def resolve(self, kind):
        """An interface as an object with the members of what it extends."""
        while kind[0] == "name":
            name = kind[1]
            if name not in self.found:  # one of a namespace, named from within it
                name = next((n for n in self.found if n.endswith("." + name)), None)
            if name is None:
                return ("scalar", "x")
            kind = self.found[name]
        if kind[0] == "partial":
            members = self.resolve(kind[1])[1]
            return ("object", {n: (True, t) for n, (_, t) in members.items()})
        if kind[0] == "interface":
            members = {}
            for base in kind[1]:
                inherited = self.resolve(("name", base))
                members.update(inherited[1] if inherited[0] == "object" else {})
            return ("object", {**members, **kind[2]})
        return kind

    def sample(self, kind, stack=()):
        kind = self.resolve(kind)
        if kind[0] == "union":
            known = [one for one in kind[1] if self.resolve(one)[0] == "object" and
                     self.tag(self.resolve(one)) in PREFERRED]
            return self.sample((known or kind[1])[0], stack)
        if kind[0] == "array":
            return [] if len(stack) > 6 else [self.sample(kind[1], (*stack, kind[0]))]
        if kind[0] == "object":
            return {n: self.sample(t, (*stack, n)) for n, (optional, t) in kind[1].items() if not optional}
        return kind[1]

    def tag(self, kind):
        """"[type=text]" of an object with a literal member."""
        for name in ("type", "role"):
            member = kind[1].get(name)
            value = self.resolve(member[1]) if member else None
            if value and value[0] == "literal":
                return f"[{name}={value[1]}]"
        return ""

    def fields(self, name, stop=lambda path: False):
        """stop: paths below which nothing is walked."""
        yield from self.walk(("name", name), "", lambda v: v, (), stop)

    def walk(self, kind, path, wrap, stack, stop):
        name = kind[1] if kind[0] == "name" else None
        if name in stack or len(stack) > 14:
            return
        stack = (*stack, name) if name else stack
        kind = self.resolve(kind)
        if kind[0] == "union":
            for one in kind[1]:
                yield from self.walk(one, path, wrap, stack, stop)
        elif kind[0] == "array":
            yield from self.walk(kind[1], path, lambda v: wrap([v]), stack, stop)
        elif kind[0] == "object":
            tag = self.tag(kind)
            path = path + tag if path else path
            base = self.sample(kind)
            if tag:  # an alternative is a field of its own
                yield Field(path, wrap, base, None)
                if stop(path):
                    return
            for member, (_, inner) in kind[1].items():
                below = f"{path}.{member}" if path else member
                if tag.startswith(f"[{member}="):
                    continue
                put = lambda v, m=member: wrap({**base, m: v})  # noqa: E731
                rest = {n: v for n, v in base.items() if n != member}
                yield Field(below, put, self.sample(inner), wrap(rest))
                if not stop(below):
                    yield from self.walk(inner, below, put, stack, stop)

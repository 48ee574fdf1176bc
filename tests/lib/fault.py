"""Injected faults: the other side of fault.c. The n-th call of one kind fails, for one n or for all."""
import collections
import errno
import os
import random
import struct
import subprocess

KINDS = ("memory", "thread", "fork", "socket", "open", "write", "sync", "name", "map")
# How each kind fails, and in what words the kernel would say so.
CODES = {
    "memory": (errno.ENOMEM,), "thread": (errno.EAGAIN,), "fork": (errno.EAGAIN,),
    "socket": (errno.EMFILE, errno.ENFILE), "open": (errno.EMFILE, errno.ENFILE),
    "write": (errno.ENOSPC, errno.EIO), "sync": (errno.EIO,), "name": (errno.ENOSPC, errno.EIO),
    "map": (errno.ENOMEM,),
}
# struct fault_state
SITES_MAX, TRACE_MAX = 1 << 17, 16
COUNTS = struct.Struct(f"<Q{len(KINDS)}QQ{TRACE_MAX}Q")
SIZE = COUNTS.size + len(KINDS) * SITES_MAX * 4

Order = collections.namedtuple("Order", "kind n code on")


def order_text(order):
    return (f"{order.kind} call {order.n} fails with {errno.errorcode[order.code]}" +
            (", and every later one" if order.on else ""))


class Faults:
    """One process at a time is counted, or has a call that fails."""

    def __init__(self, library, state):
        self.library, self.state = library, state

    def environment(self, order=None):
        """What the next run needs in its environment; the counts begin anew."""
        with open(self.state, "wb") as f:
            f.truncate(SIZE)
        found = {"LD_PRELOAD": self.library, "GFXB_FAULT_STATE": self.state}
        if order:
            found["GFXB_FAULT"] = f"{order.kind} {order.n} {order.code} {'on' if order.on else ''}"
        return found

    def read(self):
        """({kind: calls}, calls that failed, where the first of them came from)"""
        with open(self.state, "rb") as f:
            values = COUNTS.unpack(f.read(COUNTS.size))
        n = len(KINDS)
        return dict(zip(KINDS, values[1:1 + n])), values[1 + n], [a for a in values[2 + n:] if a]

    def sites(self):
        """{kind: the call site of each call, in the order of the calls}"""
        counts, found = self.read()[0], {}
        with open(self.state, "rb") as f:
            for i, kind in enumerate(KINDS):
                n = min(counts[kind], SITES_MAX)
                f.seek(COUNTS.size + i * SITES_MAX * 4)
                found[kind] = struct.unpack(f"<{n}I", f.read(4 * n))
        return found

    def where(self, program):
        """The call that failed as "function (file:line)", innermost first."""
        trace = self.read()[2]
        said = subprocess.run(["addr2line", "-f", "-s", "-e", program,
                               *(hex(address - 1) for address in trace)],
                              capture_output=True, text=True, check=False).stdout.split("\n")
        return [f"{name} ({line})" for name, line in zip(said[::2], said[1::2])]


def orders(kind, sites, limit=None, seed=1):
    """The faults to inject into a run whose calls of this kind came from these sites.

    Without a limit each call fails once, and at each site it fails once for good. With one, at most
    so many calls of different sites, every second of them for good.
    """
    codes = CODES[kind]
    first = {}
    dice = random.Random(seed)
    for n, site in enumerate(sites, 1):
        first.setdefault(site, []).append(n)
    if limit is None:
        yield from (Order(kind, n, codes[n % len(codes)], False) for n in range(1, len(sites) + 1))
        yield from (Order(kind, calls[0], codes[i % len(codes)], True)
                    for i, calls in enumerate(first.values()))
        return
    chosen = [dice.choice(calls) for calls in first.values()]
    for i, n in enumerate(sorted(dice.sample(chosen, min(limit, len(chosen))))):
        yield Order(kind, n, codes[i // 2 % len(codes)], i % 2 == 1)

#!/usr/bin/env python3
"""killed.py GFXBRIDGE [SECONDS]: 50 requests in flight and the engine killed every 2 seconds.

Every answer that is not streamed comes in the end, every stream that had begun ends or says why it
cannot, and neither processes nor descriptors nor memory are left behind. By hand with 60 seconds.
"""
import concurrent.futures
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import call, temporary  # noqa: E402
from server import ANSWER, QUESTION, Server, chat, outcome_of, text_of  # noqa: E402
from wait import wait_until  # noqa: E402

SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 10
IN_FLIGHT = 50
DATA = os.environ.get("GFXB_TEST_DATA") or temporary("gfxbridge-killed-data-")
GROWTH = 16 << 20  # bytes that the allocator may keep
# AddressSanitizer keeps what is freed, up to 256 MB: that would be taken for growth.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"


def settle(s):
    """It answers; then its engine is unloaded, and with it what is kept open for it. The server's
    descriptors and bytes."""
    assert text_of(s.ask(chat(), timeout=120)[2]) == ANSWER
    state = s.status()
    assert state["models"][0]["active"] == 0 and state["waiting"] == 0, state
    s.command("unload")
    wait_until(lambda: not s.status()["models"] and not s.children(), "the engine's end")
    return s.descriptors(), s.memory()


def kill_every_two_seconds(s, stop, killed):
    while not stop.wait(2):
        pid = s.engine_pid()
        if pid:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)


def load(s, seconds):
    """Chats, every second one streamed, for so long; how they ended."""
    outcomes = {"whole": 0, "stream": 0, "broken stream": 0}
    end = time.monotonic() + seconds

    def client(number):
        i, ends = number, []
        while time.monotonic() < end:
            ends.append(outcome_of(i % 2 == 1, s.ask(chat(stream=i % 2 == 1), timeout=120)))
            i += 1
        return ends

    with concurrent.futures.ThreadPoolExecutor(IN_FLIGHT) as pool:
        for ends in pool.map(client, range(IN_FLIGHT)):
            for kind in ends:
                outcomes[kind] += 1
    return outcomes


def nothing_is_lost_or_left():
    call("--data-dir", DATA, "run", QUESTION, timeout=300)
    s = Server(DATA)
    try:
        load(s, 2)  # the allocator, and the pool of connections, take what they need
        descriptors, memory = settle(s)
        killed, stop = [], threading.Event()
        killer = threading.Thread(target=kill_every_two_seconds, args=(s, stop, killed))
        killer.start()
        try:
            outcomes = load(s, SECONDS)
        finally:
            stop.set()
            killer.join()
        after, grown = settle(s)
        failovers = s.status()["totals"]["failovers"]
        print(f"# {len(killed)} engines killed, {failovers} fail-overs, {outcomes}; descriptors "
              f"{descriptors} then {after}, memory {memory >> 10} then {grown >> 10} KiB")
        assert len(killed) >= SECONDS / 2 - 2 and failovers >= len(killed) - 1
        assert outcomes["whole"] and outcomes["stream"]
        assert after <= descriptors, (descriptors, after)
        assert grown < memory + GROWTH, (memory, grown)
    finally:
        s.stop()
    assert s.children() == []


tap.run([("nothing is lost or left while engines are killed", nothing_is_lost_or_left)])

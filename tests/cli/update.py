#!/usr/bin/env python3
"""update.py GFXBRIDGE: signed sets of tables are taken whole or not at all."""
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import SOURCE, answer, call  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge update ")
CONFIG = os.path.join(os.environ["HOME"], ".config", "gfxbridge")


def key_pair(name):
    private, public = (os.path.join(TOP, name + end) for end in (".private", ".pem"))
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True,
                   capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    return private, public


PRIVATE, PUBLIC = key_pair("ours")


def tables(version, change=None):
    """A copy of data/ with this version; change(folder) edits it."""
    folder = os.path.join(TOP, f"data-{version}")
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    for name in ("targets.tsv", "cards.tsv", "packages.tsv", "quirks.tsv", "proofs.tsv"):
        shutil.copy(os.path.join(SOURCE, "data", name), folder)
    with open(os.path.join(folder, "version"), "w", encoding="ascii") as f:
        f.write(str(version))
    if change:
        change(folder)
    return folder


def signed(folder, key=PRIVATE):
    path = folder + ".set"
    with open(path, "wb") as f:
        subprocess.run([os.path.join(SOURCE, "tools", "sign-tables"), key, folder], check=True,
                       stdout=f)
    return path


def add_card(folder):
    """One more row for the RX 7900 XT's target, under an id that no card has."""
    path = os.path.join(folder, "cards.tsv")
    with open(path, encoding="utf-8") as f:
        lines = f.read().splitlines()
    model = next(line for line in lines if line.startswith("744c\tc8\t"))
    cells = model.split("\t")
    cells[:3] = ["fff1", "*", "Radeon of the day after"]
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(lines + ["\t".join(cells)]) + "\n")


def trust(public):
    os.makedirs(CONFIG, exist_ok=True)
    shutil.copy(public, os.path.join(CONFIG, "update.pem"))


def data_dir(name):
    return os.path.join(TOP, name)


def update(data, path, code=0):
    return call("--data-dir", data_dir(data), "update", "--from", path, code=code)


def without_a_key_it_says_so():
    said = update("none", signed(tables(30000101)), code=1).stderr
    assert "update.pem" in said, said


def a_new_card_is_known_after_it():
    trust(PUBLIC)
    before = call("--data-dir", data_dir("a"), "explain", "1002:fff1", code=None)
    assert before.returncode != 0 or "gfx1100" not in before.stdout
    update("a", signed(tables(30000102, add_card)))
    after = answer("--data-dir", data_dir("a"), "explain", "1002:fff1")
    assert after["answers"][0]["gfx"] == "gfx1100"
    assert "up to date" in update("a", signed(tables(30000102, add_card))).stdout
    assert os.listdir(data_dir("a") + "/tables") == ["30000102"]
    call("--data-dir", data_dir("a"), "table", "check")


def an_older_set_is_refused():
    said = update("a", signed(tables(30000101)), code=1).stderr
    assert "older" in said, said
    said = update("b", signed(tables(20000101)), code=1).stderr  # older than the built-in ones
    assert "older" in said, said


def a_stranger_is_refused():
    stranger, _ = key_pair("stranger")
    said = update("c", signed(tables(30000103), stranger), code=1).stderr
    assert "signature" in said, said
    assert not os.path.exists(data_dir("c") + "/tables")


def every_damage_is_refused():
    """One flipped byte anywhere, any cut: nothing is taken."""
    with open(signed(tables(30000104, add_card)), "rb") as f:
        good = f.read()
    path = os.path.join(TOP, "damaged.set")
    step = len(good) // 40
    damaged = [good[:n] for n in range(0, len(good), step)]
    for n in list(range(0, 300, 7)) + list(range(0, len(good), step)):
        damaged.append(good[:n] + bytes([good[n] ^ 1]) + good[n + 1:])
    for bad in damaged:
        with open(path, "wb") as f:
            f.write(bad)
        said = update("d", path, code=1).stderr
        assert said.count("\n") == 1 and len(said) > 30, said
    assert not os.path.exists(data_dir("d") + "/tables")


def tables_that_do_not_hold_are_refused():
    def break_it(folder):
        path = os.path.join(folder, "cards.tsv")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace("\tgfx1100\t", "\tgfx9999\t", 1))
    said = update("e", signed(tables(30000105, break_it)), code=1).stderr
    assert "gfx9999" in said and "not taken" in said, said
    assert not os.path.exists(data_dir("e") + "/tables")


def it_comes_over_the_network():
    with open(signed(tables(30000106, add_card)), "rb") as f:
        content = f.read()

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/tables"
    try:
        done = answer("--data-dir", data_dir("f"), "update", env={"GFXBRIDGE_UPDATE_URL": url})
        assert done["taken"] and done["version"] == 30000106
    finally:
        server.shutdown()
    said = call("--data-dir", data_dir("f"), "--no-network", "update", code=1).stderr
    assert "--from" in said


try:
    tap.run([
        ("without a key it says where to put one", without_a_key_it_says_so),
        ("a new card is known after it, the tables prove themselves", a_new_card_is_known_after_it),
        ("an older set is refused", an_older_set_is_refused),
        ("a set that somebody else signed is refused", a_stranger_is_refused),
        ("a flipped byte or a cut anywhere is refused", every_damage_is_refused),
        ("tables that do not hold are refused", tables_that_do_not_hold_are_refused),
        ("it comes over the network", it_comes_over_the_network),
    ])
finally:
    shutil.rmtree(TOP, ignore_errors=True)

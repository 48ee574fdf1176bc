"""The packages of tests/npm, installed once a build directory and list."""
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

import tap

HERE = os.path.dirname(os.path.abspath(__file__))


def modules(name="npm", script=None):
    """Path of a directory with the packages of tests/NAME in node_modules. Skips where npm or its registry is not
    there. script: a shell line that makes them ready. Without a lock file only the packages of the list itself are
    pinned: npm cannot lock packages that name others that were never published."""
    if not shutil.which("npm"):
        raise tap.Skip("npm is not installed")
    digest, lists = hashlib.sha256(), os.path.join(os.path.dirname(HERE), name)
    files = [os.path.join(lists, file) for file in ("package.json", "package-lock.json")
             if os.path.exists(os.path.join(lists, file))]
    for path in files:
        with open(path, "rb") as f:
            digest.update(f.read())
    place = os.path.join(os.environ.get("GFXB_BUILD", os.path.join(HERE, "..", "..", "build")), name)
    os.makedirs(place, exist_ok=True)
    stamp = os.path.join(place, "installed")
    with open(os.path.join(place, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two tests may come here at once
        if os.path.exists(stamp):
            with open(stamp, encoding="utf-8") as f:
                if f.read() == digest.hexdigest():
                    return place
        for path in files:
            shutil.copy(path, place)
        words = ["npm", "ci" if len(files) == 2 else "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(words, cwd=place, capture_output=True, text=True, timeout=1200)
        if done.returncode == 0 and script:
            done = subprocess.run(["sh", "-ec", script], cwd=place, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise tap.Skip("npm: " + (done.stderr.strip().splitlines() or ["it failed"])[-1])
        with open(stamp, "w", encoding="utf-8") as f:
            f.write(digest.hexdigest())
    return place


def for_browser():
    """modules() of a test that needs Chromium too; where one of them is missing the script ends, skipped."""
    try:
        if not shutil.which("chromium"):
            raise tap.Skip("chromium is not installed")
        return modules()
    except tap.Skip as reason:
        print(f"1..0 # SKIP {reason}")
        sys.exit(0)

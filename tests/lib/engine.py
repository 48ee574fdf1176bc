"""The distribution's llama-server, run by hand: what it says of a model, and where it puts it."""
import glob
import os
import re
import shutil
import subprocess
import tempfile
import time

from gfxbridge import call

BUFFER = re.compile(r"(\S+)\s+(model|KV|compute|output|RS) buffer size\s*=\s*([\d.]+) MiB")


class Engine:
    """The package of Debian's Vulkan backend, which holds the CPU's too; installed below data unless
    it is there."""

    def __init__(self, data):
        if not self.find(data):
            # Proving is another test's: here the files are what counts.
            call("--data-dir", data, "backends", "install", "llamacpp:vulkan-software",
                 code=(0, 1, 4), timeout=900)
            assert self.find(data), "the distribution's engine could not be installed"
        self.scratch = tempfile.mkdtemp(prefix="gfxbridge-engine-")

    def find(self, data):
        for path in glob.glob(os.path.join(data, "packages", "*", "package.manifest")):
            with open(path, encoding="utf-8") as f:
                self.fields = dict(line.rstrip("\n").split(" ", 1) for line in f if " " in line)
            self.top = os.path.dirname(path)
            if self.fields["backend"] == "vulkan":
                return True
        return False

    def done(self):
        shutil.rmtree(self.scratch, ignore_errors=True)

    def start(self, model, software, arguments, log):
        place = lambda name: os.path.join(self.top, self.fields[name])  # noqa: E731
        libraries = ":".join(os.path.join(self.top, part)
                             for part in self.fields["library-path"].split(":"))
        environment = {"PATH": "/usr/bin:/bin", "HOME": self.scratch, "TMPDIR": self.scratch}
        if software:
            environment["GGML_VK_VISIBLE_DEVICES"] = "0"
        socket = tempfile.mktemp(prefix="s", suffix=".sock", dir=self.scratch)
        return subprocess.Popen(
            [place("loader"), "--library-path", libraries, place("executable"), "-m", model,
             "--host", socket, "--offline", "--no-warmup", "-lv", "4", "-np", "1",
             "--device", "Vulkan0" if software else "none", *arguments],
            cwd=place("backend-dir"), env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=log)

    def load(self, model, *arguments, software=False, seconds=300):
        """(True, log) once it serves; (False, log) when it refuses or crashes."""
        with tempfile.NamedTemporaryFile("r+", dir=self.scratch, errors="replace") as log:
            engine = self.start(model, software, arguments, log)
            until = time.monotonic() + seconds
            text = ""
            try:
                while time.monotonic() < until:
                    ended = engine.poll() is not None
                    log.seek(0)
                    text = log.read()
                    if "listening on" in text and "model loaded" in text:
                        return True, text
                    if ended:
                        return False, text
                    time.sleep(0.05)
                raise AssertionError(f"neither loaded nor ended:\n{text[-2000:]}")
            finally:
                engine.kill()
                engine.wait()


def buffers(log):
    """MiB by (place, kind): place is "gpu" or "host"."""
    sums = {}
    for device, kind, size in BUFFER.findall(log):
        place = "gpu" if re.fullmatch(r"Vulkan\d+", device) else "host"
        sums[place, kind] = sums.get((place, kind), 0.0) + float(size)
    return sums

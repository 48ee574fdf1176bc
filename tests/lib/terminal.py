"""A program on a terminal of its own, for tests that type and read."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[a-zA-Z]|[=>])")


class Terminal:
    """Text arrives in .seen with its escape sequences taken out."""

    def __init__(self, arguments, columns=80, env=None):
        self.leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.child = subprocess.Popen(
            arguments, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
            env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **(env or {})},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(follower)
        self.seen = ""
        self.mark = 0

    def read(self, seconds=0.1):
        """Whatever comes within this time; False at the end."""
        if not select.select([self.leader], [], [], seconds)[0]:
            return True
        try:
            piece = os.read(self.leader, 65536).decode(errors="replace")
        except OSError:
            return False
        self.seen += ESCAPE.sub("", piece).replace("\r\n", "\n").replace("\r", "")
        return bool(piece)

    def expect(self, pattern, seconds=60):
        """Wait until the pattern is seen behind what was expected before; gives the match."""
        until = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.seen[self.mark:])
            if found:
                self.mark += found.end()
                return found
            alive = self.read()
            assert alive or re.search(pattern, self.seen[self.mark:]), \
                f"it ended without {pattern!r}:\n{self.seen}"
            assert time.monotonic() < until, f"no {pattern!r} in {seconds} s:\n{self.seen}"

    def wait_raw(self, seconds=30):
        """Until the program reads keys itself: a prompt is seen a moment before that."""
        until = time.monotonic() + seconds
        while termios.tcgetattr(self.leader)[3] & termios.ICANON:
            assert time.monotonic() < until, f"the terminal does not become raw:\n{self.seen}"
            self.read(0.01)

    def type(self, text):
        os.write(self.leader, text.encode())

    def interrupt(self):
        self.type("\x03")

    def end(self, seconds=30):
        """Its exit code."""
        until = time.monotonic() + seconds
        while self.child.poll() is None and time.monotonic() < until:
            self.read()
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL)
        os.close(self.leader)
        return self.child.wait()

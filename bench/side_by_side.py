"""Interleaved timing of whole processes: A B C A B C ..., medians in milliseconds."""
import os
import re
import statistics
import subprocess
import time


def median_ms(commands, rounds=15, warmup=2, env=None):
    """{name: median wall ms}; commands is {name: argv}. A command that fails is an error."""
    times = {name: [] for name in commands}
    for number in range(rounds + warmup):
        for name, argv in commands.items():
            start = time.perf_counter()
            done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
            spent = (time.perf_counter() - start) * 1000
            if done.returncode not in (0, 3):
                raise SystemExit(f"{name} failed with {done.returncode}: {argv}")
            if number >= warmup:
                times[name].append(spent)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_mb(pid):
    """What the process has had in memory at most so far; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status") as f:
            found = re.search(r"^VmHWM:\s+(\d+) kB", f.read(), re.M)
    except OSError:
        return 0
    return int(found.group(1)) / 1024 if found else 0


def run(argv, **options):
    """(seconds, peak memory in MB, seconds of CPU) of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, **options)
    peak, pid = 0, 0
    while pid == 0:
        peak = max(peak, peak_mb(process.pid))
        time.sleep(0.01)
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    spent = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(argv)} failed with {process.returncode}")
    return spent, peak, usage.ru_utime + usage.ru_stime


def show(medians):
    for name, value in medians.items():
        print(f"  {name:<44} {value:9.2f} ms")


def bar(text, value, limit, unit="ms"):
    print(f"  {text}: {value:.2f} {unit} (bar {limit} {unit}) {'kept' if value <= limit else 'MISSED'}")

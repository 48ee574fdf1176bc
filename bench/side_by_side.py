"""Interleaved timing of whole processes: A B C A B C ..., medians in milliseconds."""
import os
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


def show(medians):
    for name, value in medians.items():
        print(f"  {name:<44} {value:9.2f} ms")


def bar(text, value, limit, unit="ms"):
    print(f"  {text}: {value:.2f} {unit} (bar {limit} {unit}) {'kept' if value <= limit else 'MISSED'}")

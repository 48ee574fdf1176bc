"""TAP for test scripts: one line a case, so that each case counts on its own."""
import os
import sys
import traceback


class Skip(Exception):
    """Raised by a case that cannot run here; its text says why."""


def run(cases):
    """Run (name, function) pairs, by hand only those with GFXB_TEST_ONLY in their name; exit status 1
    when one fails."""
    cases = [case for case in cases if os.environ.get("GFXB_TEST_ONLY", "") in case[0]]
    print(f"1..{len(cases)}", flush=True)
    failed = 0
    for number, (name, function) in enumerate(cases, 1):
        try:
            function()
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception as error:  # an assertion or a broken expectation: both fail the case
            failed += 1
            print(f"not ok {number} - {name}", flush=True)
            trace = traceback.format_exc() if not isinstance(error, AssertionError) else str(error)
            print("\n".join("# " + line for line in (trace or "failed").splitlines()), flush=True)
            if isinstance(error, AssertionError):
                where = traceback.extract_tb(error.__traceback__)[-1]
                print(f"# at {where.filename}:{where.lineno}: {where.line}", flush=True)
        else:
            print(f"ok {number} - {name}", flush=True)
    sys.exit(1 if failed else 0)

#!/usr/bin/env python3
"""inline-page.py INDEX STYLE SCRIPT POLICY OUT_INDEX OUT_POLICY: the page with its style and first
script inside, so that nothing is waited for before the first paint, and the policy that allows
exactly these two by their digests."""
import base64
import hashlib
import sys


def main():
    index, style, script, policy = (open(path, encoding="utf-8").read() for path in sys.argv[1:5])
    for link, tag, text in (('<link rel="stylesheet" href="page/style.css">', "style", style),
                            ('<script src="page/start.js"></script>', "script", script)):
        if index.count(link) != 1 or f"</{tag}" in text or "@" + tag + "@" not in policy:
            sys.exit(f"inline-page: {link} cannot be replaced by what it names")
        index = index.replace(link, f"<{tag}>{text}</{tag}>")
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        policy = policy.replace(f"@{tag}@", f"'sha256-{digest}'")
    with open(sys.argv[5], "w", encoding="utf-8") as f:
        f.write(index)
    with open(sys.argv[6], "w", encoding="utf-8") as f:
        f.write(" ".join(policy.split()))


main()

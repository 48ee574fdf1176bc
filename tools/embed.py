#!/usr/bin/env python3
"""embed.py OUTPUT.S SYMBOL=FILE...: an assembler file that holds each FILE's bytes (no FILE: none)
between SYMBOL and SYMBOL_end, followed by a NUL byte, and at SYMBOL_sha256 their digest as text."""
import hashlib
import os
import sys


def main():
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        out.write('    .section .rodata\n')
        for pair in sys.argv[2:]:
            symbol, path = pair.split("=", 1)
            content = b""
            if path:
                with open(path, "rb") as file:
                    content = file.read()
            digest = hashlib.sha256(content).hexdigest()
            path = os.path.abspath(path).replace("\\", "\\\\").replace('"', '\\"')
            include = f'    .incbin "{path}"\n' if content else ""
            out.write(f'    .balign 16\n    .globl {symbol}\n    .hidden {symbol}\n{symbol}:\n'
                      f'{include}'
                      f'    .globl {symbol}_end\n    .hidden {symbol}_end\n{symbol}_end:\n'
                      f'    .byte 0\n'
                      f'    .globl {symbol}_sha256\n    .hidden {symbol}_sha256\n'
                      f'{symbol}_sha256:\n    .asciz "{digest}"\n')
        out.write('    .section .note.GNU-stack,"",@progbits\n')


main()

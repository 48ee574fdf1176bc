#!/usr/bin/env python3
"""embed.py OUTPUT.S SYMBOL=FILE...: an assembler file that holds each FILE's bytes between SYMBOL
and SYMBOL_end, followed by a NUL byte."""
import os
import sys


def main():
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        out.write('    .section .rodata\n')
        for pair in sys.argv[2:]:
            symbol, path = pair.split("=", 1)
            path = os.path.abspath(path).replace("\\", "\\\\").replace('"', '\\"')
            out.write(f'    .balign 16\n    .globl {symbol}\n    .hidden {symbol}\n{symbol}:\n'
                      f'    .incbin "{path}"\n'
                      f'    .globl {symbol}_end\n    .hidden {symbol}_end\n{symbol}_end:\n'
                      f'    .byte 0\n')
        out.write('    .section .note.GNU-stack,"",@progbits\n')


main()

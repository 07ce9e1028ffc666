"""Runs the statements of a file on two servers and shows where their answers differ.

    compare.py ORACLE_PORT PORT FILE...

Statements end with a line that ends in `;` or stand on one line each (`--lines`, for statements
without a semicolon; a line that starts with a quote continues the one before it).
"""

import sys

from wire import Server


def statements(path, lines):
    text = open(path).read()
    if not lines:
        parts = text.split(";\n")
        return [part.strip().rstrip(";") for part in parts if part.strip()]
    found = []
    for line in text.splitlines():
        if line.startswith("'") and found:
            found[-1] += "\n" + line
        elif line.strip():
            found.append(line)
    return found


def same(left, right):
    if left[0] == right[0] == "error":
        return left[1] == right[1]
    return left == right


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--lines"]
    lines = "--lines" in sys.argv
    oracle, server = Server(int(arguments[0])), Server(int(arguments[1]))
    differ = count = 0
    for path in arguments[2:]:
        for sql in statements(path, lines):
            count += 1
            expected, got = oracle.ask(sql), server.ask(sql)
            if not same(expected, got):
                differ += 1
                print(f"{sql}\n    want {expected}\n    got  {got}")
    print(f"{count} statements, {differ} differ")
    return differ != 0


if __name__ == "__main__":
    sys.exit(main())

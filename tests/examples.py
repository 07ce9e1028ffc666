"""Runs what a newcomer runs, against the server in PGHOST, PGPORT: the programs in examples/, whose
heads say what they print, and the tour in README.md, whose SQL stands before its answers.

    examples.py programs [NAME …]   compares each program's output with the `Prints:` of its head
    examples.py tour                compares psql's answer to each ```sql block with the ```text block behind it
    examples.py tour --record       writes the answers into README.md

The flights have to be loaded (examples/flights/load).
"""

import difflib
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIMEOUT = 120


def report(name, expected, got):
    """Prints what differs; whether it is the same."""
    expected, got = expected.strip("\n"), got.strip("\n")
    if expected == got:
        return True
    print(f"    FAILED: {name}")
    for line in difflib.unified_diff(expected.splitlines(), got.splitlines(), "expected", "got", lineterm=""):
        print(f"        {line}")
    return False


def prints(path):
    """The lines under `Prints:` in a program's opening comment, without their indentation."""
    lines = []
    inside = False
    for line in path.read_text(encoding="utf-8").splitlines():
        text = re.sub(r"^//[!/]?", "  ", line)
        if inside and not text.startswith("   "):
            break
        if inside:
            lines.append(text.strip())
        inside = inside or text.strip() == "Prints:"
    return "\n".join(lines)


def command(path):
    if path.suffix == ".py":
        return [sys.executable, str(path)]
    if path.suffix == ".mjs":
        return ["node", str(path)]
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return [str(target / "debug" / "examples" / path.stem)]


def programs(wanted):
    results = []
    for path in sorted(ROOT.glob("examples/*/*")):
        name = str(path.relative_to(ROOT / "examples"))
        if path.suffix not in (".py", ".mjs", ".rs") or (wanted and name not in wanted):
            continue
        expected = prints(path)
        start = time.monotonic()
        try:
            done = subprocess.run(command(path), capture_output=True, text=True, timeout=TIMEOUT, cwd=ROOT)
            got = done.stdout + (done.stderr if done.returncode else "")
        except (OSError, subprocess.TimeoutExpired) as why:
            got = str(why)
        results.append(bool(expected) and report(name, expected, got))
        print(f"    {name} ({time.monotonic() - start:.1f} s)", flush=True)
    return results


FENCES = re.compile(r"(```sql\n(?P<sql>.*?)```\n)(\n```text\n(?P<answer>.*?)```\n)?", re.S)


def ask(sql):
    """psql's answer, as a person sees it."""
    command = ["psql", "-X", "-v", "ON_ERROR_STOP=0", "-P", "pager=off"]
    done = subprocess.run(command, input=sql, capture_output=True, text=True, timeout=TIMEOUT, env={**os.environ, "PGTZ": "UTC"})
    return "\n".join(line.rstrip() for line in (done.stdout + done.stderr).splitlines()).strip("\n")


def tour(record):
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    results = []

    def answer(match):
        sql = match["sql"]
        got = ask(sql)
        if record:
            return f"```sql\n{sql}```\n\n```text\n{got}\n```\n"
        results.append(report(f"README.md: {sql.strip().splitlines()[0]}", match["answer"] or "", got))
        return match[0]

    new = FENCES.sub(answer, text)
    if record:
        readme.write_text(new, encoding="utf-8")
    return results


def main():
    what, *more = sys.argv[1:] or ["programs"]
    results = tour("--record" in more) if what == "tour" else programs(more)
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 1 if False in results else 0


sys.exit(main())

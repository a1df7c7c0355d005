#!/usr/bin/env python3
"""Writes the seed corpora from the captures in ../tests/golden. Run here: python3 seed.py."""

import pathlib
import re

here = pathlib.Path(__file__).parent
golden = here / ".." / "tests" / "golden"


def captures(name):
    lines = [line for line in (golden / name).read_text().splitlines() if not line.startswith("#")]
    return [(lines[at], bytes.fromhex(lines[at + 1].strip())) for at in range(0, len(lines), 3)]


def write(target, name, data):
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / re.sub(r"\W+", "_", name)).write_bytes(data)


table = (here / ".." / "tests" / "common" / "mod.rs").read_text().split("kinds! {")[1]
kinds = []
for module, names in re.findall(r"(\w+)\s*{([^}]*)}", table):
    kinds += [f"{module}.{name}".lower() for name in re.findall(r"\w+", names)]
for name, data in captures("records.txt"):
    record, variant = name.split(" ")
    if variant == "rich":
        write("record", name, bytes([kinds.index(record.lower())]) + data)
for name, data in captures("txns.txt"):
    write("txn_entry", name, data)
for name, data in captures("multi.txt"):
    if name.startswith("request "):
        write("multi_request", name, data)

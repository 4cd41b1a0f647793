"""Damaged files for the loaders: bits turned, numbers made huge, parts lost, doubled and moved."""

import io
import os
import random
import re
import zipfile

COUNT = int(os.environ.get("SCRATCHAE_MUTATIONS", 2000))  # per loader; 100,000 now and then
NUMBERS = (0, 1, 255, 2**16, 2**31 - 1, 2**31, 2**63, 2**64 - 1)


def mutated(random: random.Random, content: bytes) -> bytes:
    """The content with one to sixteen changes of one kind."""
    damaged = bytearray(content)
    kind = random.randrange(6)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        i, n = random.randrange(len(damaged)), random.randrange(1, 64)
        if kind == 0:
            damaged[i] ^= 1 << random.randrange(8)
        elif kind == 1:
            damaged[i] = random.randrange(256)
        elif kind == 2:
            number = random.choice((*NUMBERS, random.randrange(len(damaged))))
            damaged[i : i + 8] = number.to_bytes(8, "little")
        elif kind == 3 and len(damaged) > 100:
            del damaged[i : i + n]
        elif kind == 4:
            j = random.randrange(len(damaged))
            damaged[i : i + n] = damaged[j : j + n]
        elif kind == 5:
            damaged[i:i] = random.randbytes(n)
    return bytes(damaged)


def mutated_text(random: random.Random, text: str) -> str:
    """A JSON text with values exchanged, so that it mostly still is one."""
    pattern = r'"[^"]*"|-?\d+(?:\.\d+)?(?:e-?\d+)?|true|false|null'
    values = [*re.findall(pattern, text), "-1", "0", "1e308", "9" * 30, "[]", "{}", '""', "[[]]", "100000000", "NaN"]
    for _ in range(random.choice((1, 1, 2, 4))):
        match = random.choice(list(re.finditer(pattern, text)))
        text = text[: match.start()] + random.choice(values) + text[match.end() :]
    return text


def mutated_archive(random: random.Random, members: dict[str, bytes]) -> bytes:
    """A zip archive with something wrong in itself, in its JSON, or in its weights."""
    members, kind = dict(members), random.randrange(4)
    if kind == 0:
        members["config.json"] = mutated_text(random, members["config.json"].decode()).encode()
    elif kind == 1:
        name = random.choice(["config.json", "model.weights.h5"])
        members[name] = mutated(random, members[name])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return mutated(random, content.getvalue()) if kind >= 2 else content.getvalue()

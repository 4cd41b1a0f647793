"""One HTML file out of the page's parts: style and scripts inlined, data as JSON, and no way out of it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Any


def page(data: dict[str, Any]) -> str:
    """page.html with style.css, its scripts and the data in it.

    Nothing in `data` can become markup: in JSON "<" is written as an escape, and the page shows strings as text. The
    policy lets a browser run these very scripts, known by their hash, and load nothing at all.
    """
    html = asset("page.html")
    html = re.sub(r'<link rel="stylesheet" href="(\S+)">', lambda m: f"<style>\n{asset(m[1])}</style>", html)
    html = re.sub(r'<script src="(\S+)"></script>', lambda m: f"<script>\n{asset(m[1])}</script>", html)
    scripts, styles = (re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL) for tag in ("script", "style"))
    policy = f"default-src 'none'; script-src {hashes(scripts)}; style-src {hashes(styles)}"
    html = html.replace("default-src 'none'", policy)
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return html.replace('id="data"></script>', f'id="data">{text}</script>')


def asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def hashes(contents: list[str]) -> str:
    """What a Content-Security-Policy calls inline scripts or styles."""
    return " ".join(f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'" for content in contents)

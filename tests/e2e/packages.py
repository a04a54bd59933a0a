"""A package index behind the proxy, with a tiny wheel: the simple repository API and the wheel format of PyPA."""

import base64
import hashlib
import io
import zipfile

from tests.e2e.upstream import Reply

NAME, VERSION = "tiny_sample", "1.0"
WHEEL = f"{NAME}-{VERSION}-py3-none-any.whl"
INDEX, FILE = "/simple/tiny-sample/", f"/files/{WHEEL}"


def make_wheel() -> bytes:
    info = f"{NAME}-{VERSION}.dist-info"
    files = {
        f"{NAME}.py": "GREETING = 'hello'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{name},sha256={_digest(text)},{len(text)}" for name, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def index() -> dict[str, Reply]:
    """What an upstream replies that serves this one package."""
    wheel = make_wheel()
    link = f'<a href="{FILE}#sha256={hashlib.sha256(wheel).hexdigest()}">{WHEEL}</a>'
    page = f"<!DOCTYPE html><html><body>{link}</body></html>"
    return {
        INDEX: Reply(page.encode(), headers={"Content-Type": "text/html"}),
        FILE: Reply(wheel, headers={"Content-Type": "application/octet-stream"}),
    }

"""What `mitmdump -s addons/chain.py` loads: it installs the guard, and nothing else.

The guard wraps the event dispatch of the running proxy, so that this file may be saved, broken, emptied or deleted
afterwards without a request passing unjudged. Whatever goes wrong here ends the process before it serves: mitmproxy
itself would log some failures of a script and others not at all, and go on without it.
"""

import os
import sys
from pathlib import Path
from typing import Any


def load(loader: Any) -> None:
    try:
        source = str(Path(__file__).resolve().parent)
        if source not in sys.path:
            sys.path.append(source)
        from headgate.proxy.install import install_script

        install_script(loader.master)
    except BaseException as error:  # noqa: BLE001 - whatever it is, nothing may be served
        if not isinstance(error, SystemExit):
            sys.stderr.write(f"headgate: cannot start: {type(error).__name__}: {error}\n")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(
            1
        )  # at once: mitmproxy may be starting its listeners, and some of those crash when they are interrupted

"""Says as JSON what set-up wants to know about this Python. Imports nothing but the standard library: above all not torch."""

import importlib.util
import json
import os
import platform
import sys

# A folder named "torch" in the working directory is not an installed torch.
sys.path = [entry for entry in sys.path if entry not in ("", os.getcwd(), os.path.dirname(os.path.abspath(__file__)))]


def find(name):
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return spec if spec is not None and spec.origin is not None else None


def pip_version():
    if find("pip") is None:
        return None
    try:
        from importlib.metadata import version

        return version("pip")
    except Exception:
        return "unknown"


torch = find("torch")
print(
    json.dumps(
        {
            "version": platform.python_version(),
            "executable": sys.executable,
            "pip": pip_version(),
            "torch": os.path.dirname(torch.origin) if torch else None,
        }
    )
)

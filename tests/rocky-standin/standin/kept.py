"""What a built stand-in was made from, so that a second run can return at once.

standin.json beside the mirror has three digests: of this builder's files, of apt's package lists, and of the packages
that apt chose. As long as the first two are the same, not even apt has to be asked.
"""

import hashlib
import json
import os

from standin.debs import LISTS

NAME = "standin.json"
PARTS = ("build.py", "standin", "catalogue", "files")


def source_digest(here):
    """The digest of the builder's files: names, contents and whether they are executable."""
    digest = hashlib.sha256()
    for part in PARTS:
        root = here / part
        for path in [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file()):
            if path.suffix == ".pyc":
                continue
            executable = "x" if os.access(path, os.X_OK) else "-"
            digest.update(f"{path.relative_to(here)} {executable} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current(directory, source):
    """Whether the stand-in is there, of these sources, and apt's lists are as they were."""
    state = _read(directory)
    return state.get("source") == source and state.get("lists") == _lists_digest()


def is_same(directory, source, debs):
    """Whether the stand-in is there, of these sources and these packages."""
    state = _read(directory)
    return state.get("source") == source and state.get("debs") == _debs_digest(debs)


def write(directory, source, debs, description):
    """Writes standin.json; `description` is what users of the stand-in want to know."""
    state = {"source": source, "lists": _lists_digest(), "debs": _debs_digest(debs), **description}
    new = directory / (NAME + ".new")
    new.write_text(json.dumps(state, indent=2) + "\n")
    new.rename(directory / NAME)


def forget(directory):
    """Removes standin.json, so that a build that is cut off is not taken for a finished one."""
    (directory / NAME).unlink(missing_ok=True)


def _read(directory):
    if not (directory / "mirror").is_dir():
        return {}
    try:
        return json.loads((directory / NAME).read_text())
    except (OSError, ValueError):
        # Not there, or cut off: it is built anew.
        return {}


def _lists_digest():
    digest = hashlib.sha256()
    for path in sorted(LISTS.glob("*Packages*")):
        status = path.stat()
        digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _debs_digest(debs):
    digest = hashlib.sha256()
    for name in sorted(debs):
        digest.update(f"{debs[name].file_name} {debs[name].digest}\n".encode())
    return digest.hexdigest()

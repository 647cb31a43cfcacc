#!/usr/bin/python3
"""Builds the stand-in for Rocky Linux's repositories, or finds that it is there already.

Prints the address of the mirror. See README.rst.
"""

import argparse
import fcntl
import os
import sys
from pathlib import Path

# No __pycache__ in the source tree.
sys.dont_write_bytecode = True

from standin import builder, kept  # noqa: E402
from standin.report import BuildError, progress  # noqa: E402

HERE = Path(__file__).resolve().parent
DEFAULT = HERE.parent.parent / "target" / "rocky-standin"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "directory", nargs="?", type=Path, default=DEFAULT, help="where it is built and kept (%(default)s)"
    )
    directory = parser.parse_args().directory.resolve()
    try:
        ensure(directory)
    except (BuildError, OSError) as error:
        print(f"rocky-standin: {error}", file=sys.stderr)
        return 1
    print(f"file://{directory}/mirror")
    return 0


def ensure(directory):
    """Builds the stand-in unless what is there was made from the same files and packages."""
    source = kept.source_digest(HERE)
    if kept.is_current(directory, source):
        return
    if os.geteuid() != 0:
        raise BuildError("building needs root: Debian's files are unpacked with their owners")
    directory.mkdir(parents=True, exist_ok=True)
    # Directories that rpm packages must have the usual modes, whatever the caller's mask.
    os.umask(0o022)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another process may have built it while this one waited.
        if kept.is_current(directory, source):
            return
        build = builder.Builder(HERE, directory)
        debs = build.resolve()
        if kept.is_same(directory, source, debs):
            progress("Debian's package lists changed, but not for these packages")
        else:
            kept.forget(directory)
            build.build()
        kept.write(directory, source, debs, build.description())


if __name__ == "__main__":
    sys.exit(main())

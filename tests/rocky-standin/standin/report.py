"""Progress, errors with context, and commands whose failure tells what they printed."""

import subprocess
import sys
import time

# How much of a failed command's output is shown.
SHOWN_LINES = 20

_started = time.monotonic()


class BuildError(Exception):
    """What went wrong, in one message for the user; a second line may say what to do."""


def progress(text):
    """Tells one step on standard error, with the seconds since the start."""
    print(f"[{time.monotonic() - _started:5.1f} s] {text}", file=sys.stderr, flush=True)


def run(command, doing, **options):
    """Runs a command and returns its standard output. `doing` is what it is for, as in "signing packages"."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
    except FileNotFoundError as error:
        raise BuildError(f"{doing}: {command[0]} is not installed (host-packages.txt lists what is needed)") from error
    if done.returncode != 0:
        printed = (done.stderr + done.stdout).strip().splitlines()[-SHOWN_LINES:]
        raise BuildError("\n  ".join([f"{doing}: {command[0]} ended with status {done.returncode}", *printed]))
    return done.stdout

"""The throw-away key, made at the first build and kept beside the repository, and the packages' signatures."""

import contextlib
import re

from standin.report import run

USER = "stand-in test fixture <standin@example.invalid>"


class Key:
    """A key without a passphrase in a GnuPG directory of its own. It protects nothing."""

    def __init__(self, home):
        self.home = home

    def ensure(self):
        """Makes the key if the directory has none."""
        if (self.home / "public.asc").exists():
            return
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._agent():
            self._gpg(["--passphrase", "", "--quick-generate-key", USER, "rsa3072", "sign", "never"], "making the key")
            public = self._gpg(["--armor", "--export"], "exporting the key")
        # Last, for it tells that the key is there.
        (self.home / "public.asc").write_text(public)

    def public(self):
        """The public half, armored."""
        return (self.home / "public.asc").read_text()

    def fingerprint(self):
        """The key's fingerprint in hexadecimal."""
        listed = self._gpg(["--with-colons", "--list-keys"], "listing the key")
        return re.search(r"(?m)^fpr:+([0-9A-F]+):", listed).group(1)

    def sign(self, rpms):
        """Signs RPM files in place."""
        defines = {
            "_gpg_path": self.home,
            "_gpg_name": "standin@example.invalid",
            # rpm looks for a gpg2, which Debian does not have.
            "__gpg": "/usr/bin/gpg",
            "_gpg_sign_cmd_extra_args": "--pinentry-mode loopback --passphrase ''",
        }
        arguments = [part for name, value in defines.items() for part in ("--define", f"{name} {value}")]
        with self._agent():
            run(["rpmsign", "--addsign", *arguments, *rpms], "signing the RPMs")

    def _gpg(self, arguments, doing):
        return run(["gpg", "--homedir", self.home, "--batch", "--quiet", *arguments], doing)

    @contextlib.contextmanager
    def _agent(self):
        # gpg starts an agent that would stay when the build is over.
        try:
            yield
        finally:
            run(["gpgconf", "--homedir", self.home, "--kill", "all"], "ending the key's agent")

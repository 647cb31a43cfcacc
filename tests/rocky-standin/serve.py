#!/usr/bin/python3
"""Serves the stand-in's mirror over HTTP, on loopback only, with a mirror list like Rocky's and a repository file.

Prints its address once it listens. A guest of QEMU's user network reaches it as 10.0.2.2, with the same port.
"""

import argparse
import http.server
import json
import sys
import threading
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

sys.dont_write_bytecode = True

DEFAULT = Path(__file__).resolve().parent.parent.parent / "target" / "rocky-standin" / "mirror"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, /mirrorlist?arch=ARCH&repo=NAME-RELEASE with this server as the only mirror, and /standin.repo.

    Both name the server by the host name that the client used, for a guest sees another one.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Answers with the mirror list, the repository file or a file."""
        if urlsplit(self.path).path == "/mirrorlist":
            self.mirror_list()
        elif urlsplit(self.path).path == "/standin.repo":
            self.repository_file()
        else:
            super().do_GET()

    def mirror_list(self):
        """Answers with the one address of a repository."""
        query = parse_qs(urlsplit(self.path).query)
        name, _, release = query.get("repo", [""])[0].rpartition("-")
        path = f"/{release}/{name}/{query.get('arch', ['x86_64'])[0]}/os/"
        if not Path(self.translate_path(path)).is_dir():
            self.send_error(404, "no such repository")
            return
        self.send_text(f"{self.address()}{path}\n")

    def repository_file(self):
        """Answers with a file for /etc/yum.repos.d that has all repositories, as standin.json names them."""
        try:
            state = json.loads((Path(self.directory).parent / "standin.json").read_text())
        except (OSError, ValueError):
            self.send_error(404, "no standin.json beside the mirror")
            return
        key = f"{self.address()}/{Path(state['key']).name}"
        parts = [
            f"[standin-{name.lower()}]\nname=Stand-in {name}\nbaseurl={self.address()}/{path.partition('/')[2]}\n"
            f"gpgcheck=1\ngpgkey={key}\n"
            for name, path in state["repositories"].items()
        ]
        self.send_text("\n".join(parts))

    def address(self):
        """This server's, as the client names it."""
        return "http://" + (self.headers.get("Host") or "{}:{}".format(*self.server.server_address))

    def send_text(self, text):
        """Answers with a text."""
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Logs only if asked to."""
        if self.server.verbose:
            super().log_message(*arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", nargs="?", type=Path, default=DEFAULT, help="what is served (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0, the default: any that is free")
    parser.add_argument("--verbose", action="store_true", help="log each request on standard error")
    parser.add_argument(
        "--until-eof", action="store_true", help="end with standard input, and so with the process that holds it"
    )
    arguments = parser.parse_args()
    if not arguments.directory.is_dir():
        sys.exit(f"serve.py: {arguments.directory} is not there: run build.py")

    handler = partial(Handler, directory=arguments.directory)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), handler)
    server.verbose = arguments.verbose
    print("http://{}:{}".format(*server.server_address), flush=True)
    if arguments.until_eof:
        threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

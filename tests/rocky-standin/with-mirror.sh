#!/bin/bash
# Runs a command that builds Rocky Linux: with Rocky's public mirrors if they answer, else with the stand-in, which
# is built first if need be. A mirror that the caller has chosen is taken as it is.
# Usage: with-mirror.sh COMMAND...
set -eu
set -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
probe='https://mirrors.rockylinux.org/mirrorlist?arch=x86_64&repo=BaseOS-9'

answers() {
    # A proxy or a captive portal may answer with something else than a list of addresses.
    curl --silent --fail --location --max-time 20 "$probe" 2>/dev/null | grep -q '^http'
}

if [ -n "${DIB_ROCKY_MIRROR:-}${DIB_DISTRIBUTION_MIRROR:-}${DIB_YUM_REPO_CONF:-}" ]; then
    echo "Rocky Linux: from the mirror that the environment names" >&2
elif answers; then
    echo "Rocky Linux: from its public mirrors" >&2
else
    echo "Rocky Linux: its public mirrors do not answer. What is built is NOT Rocky Linux but a stand-in for tests" >&2
    echo "(tests/rocky-standin/README.rst). Set DIB_ROCKY_MIRROR to a mirror that this machine reaches." >&2
    "$here/../setup/install-packages.sh" "$here/host-packages.txt" >&2
    DIB_ROCKY_MIRROR=$("$here/build.py")
    export DIB_ROCKY_MIRROR DIB_ROCKY_GPG_KEY=${DIB_ROCKY_MIRROR#file://}/RPM-GPG-KEY-Rocky-9
fi
exec "$@"

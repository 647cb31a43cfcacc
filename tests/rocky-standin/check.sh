#!/bin/bash
# Installs packages from the stand-in into a new root with the host's dnf, checking signatures, and then uses
# rpm and dnf inside it. Needs root, dnf, and a stand-in in target/rocky-standin (or $STANDIN).
# Usage: check.sh ROOT PACKAGE...      for example: check.sh /tmp/root @core
set -eu
set -o pipefail

# All mounts are in a namespace of their own and end with it.
if [ -z "${STANDIN_CHECK_NAMESPACE:-}" ]; then
    STANDIN_CHECK_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$@"
fi

root=${1:?usage: check.sh ROOT PACKAGE...}
shift
standin=${STANDIN:-$(cd "$(dirname "$0")/../.." && pwd)/target/rocky-standin}
config=$(mktemp -d)
trap 'rm -rf "$config"' EXIT

mount_kernel_filesystems() {
    mkdir -p "$root"/{dev,proc,run,sys}
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sys "$root/sys"
    mount -t tmpfs run "$root/run"
    mount -t tmpfs -o mode=755 dev "$root/dev"
    local node
    for node in null zero full random urandom tty; do
        touch "$root/dev/$node"
        mount --bind "/dev/$node" "$root/dev/$node"
    done
    ln -s /proc/self/fd "$root/dev/fd"
    mkdir "$root/run/mirror"
    mount --bind "$standin/mirror" "$root/run/mirror"
}

# Repository files for the mirror at a path.
write_repositories() {
    local place
    for place in 9/{BaseOS,AppStream,extras}/x86_64/os epel/9/Everything/x86_64; do
        cat <<END
[standin-${place//\//-}]
name=Stand-in $place
baseurl=file://$1/$place
gpgcheck=1
gpgkey=file://$1/RPM-GPG-KEY-Rocky-9
END
    done
}

in_root() {
    chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin LANG=C.UTF-8 "$@"
}

mount_kernel_filesystems
mkdir "$config/repos"
write_repositories "$standin/mirror" >"$config/repos/standin.repo"
printf '[main]\ngpgcheck=1\nreposdir=%s\n' "$config/repos" >"$config/dnf.conf"
# Debian's rpm would put the database into the home directory.
echo '%_dbpath /var/lib/rpm' >"$config/.rpmmacros"
started=$(date +%s%N)
HOME=$config /usr/bin/dnf -y -q --config="$config/dnf.conf" --installroot="$root" --releasever=9 \
    --setopt=install_weak_deps=False --setopt=tsflags=nodocs install "$@"
echo "installed in $((($(date +%s%N) - started) / 1000000)) ms: $(in_root rpm -qa | wc -l) packages"

# The stand-in's repositories only.
dnf_in_root() {
    in_root dnf -y -q --setopt=reposdir=/run/repos "$@"
}

unsigned=$(in_root rpm -qa --qf '%{NAME} %{RSAHEADER:pgpsig}\n' | grep -v 'Key ID\|^gpg-pubkey ' || :)
[ -z "$unsigned" ] || { echo "without a signature: $unsigned" >&2; exit 1; }
missing=$(in_root rpm -Va | grep '^missing' || :)
[ -z "$missing" ] || { echo "$missing" >&2; exit 1; }

mkdir "$root/run/repos"
write_repositories /run/mirror >"$root/run/repos/standin.repo"
dnf_in_root install rsync htop
in_root rpm -q rsync htop
dnf_in_root remove rsync htop
dnf_in_root group list --hidden

# The default stream of a module, then the other one.
for stream in 1 2; do
    [ "$stream" = 1 ] || dnf_in_root module enable standin-tool:"$stream"
    dnf_in_root install standin-tool
    in_root standin-tool | grep " $stream\."
    dnf_in_root remove standin-tool
    dnf_in_root module reset standin-tool
done
in_root sed -n 's/^PRETTY_NAME=//p' /etc/os-release

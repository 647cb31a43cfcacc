#!/bin/bash
# Configures one network interface for DHCP, unless something else has configured it already.
# usage: dhcp-all-interfaces.sh INTERFACE
#
# dib-lint: disable=dibdebugtrace
set -eu
set -o pipefail

interface=$1
sys=/sys/class/net/$interface
backend=ifupdown
timeout=30
# shellcheck source=/dev/null
. /etc/dhcp-all-interfaces.conf

leave()
{
    echo "$interface: $1, leaving it alone"
    exit 0
}

# Bridges, bonds, veth pairs and the like have no device. Wireless needs more than DHCP.
is_wired_hardware()
{
    [ -e "$sys/device" ] && [ ! -e "$sys/phy80211" ] && [ ! -e "$sys/master" ]
}

has_link()
{
    [ "$(cat "$sys/carrier" 2>/dev/null)" = 1 ]
}

wait_for_link()
{
    ip link set dev "$interface" up
    for _ in {1..20}; do
        if has_link; then return 0; fi
        sleep 0.5
    done
    return 1
}

with_ifupdown()
{
    local stanza=/etc/network/interfaces.d/dhcp-$interface
    if [ ! -e "$stanza" ]; then
        if ifquery "$interface" > /dev/null 2>&1 || ifquery --state "$interface" > /dev/null 2>&1; then
            leave "already in /etc/network/interfaces"
        fi
        {
            # Router advertisements first: they fail nothing where there is no router.
            if [ -d /proc/sys/net/ipv6 ]; then echo "iface $interface inet6 auto"; fi
            echo "iface $interface inet dhcp"
        } > "$stanza.new"
        mv "$stanza.new" "$stanza"
    fi
    wait_for_link || leave "no link"
    is_wired_hardware || leave "taken by another interface"
    # An interface that was unplugged and came back is still "up" for ifupdown.
    if ifquery --state "$interface" > /dev/null 2>&1; then ifdown --force "$interface" || true; fi
    ifup "$interface"
}

with_networkmanager()
{
    local dir=/etc/NetworkManager/system-connections type=ethernet keyfile
    keyfile=$dir/dhcp-$interface.nmconnection
    if [ ! -e "$keyfile" ]; then
        if grep -rqs "^interface-name=$interface\$" "$dir" /run/NetworkManager/system-connections \
            || [ -e "/etc/sysconfig/network-scripts/ifcfg-$interface" ]; then
            leave "NetworkManager has a connection for it"
        fi
        if [ "$(<"$sys/type")" = 32 ]; then type=infiniband; fi
        {
            printf '[connection]\nid=dhcp-%s\ntype=%s\ninterface-name=%s\n' "$interface" "$type" "$interface"
            printf '\n[ipv4]\nmethod=auto\ndhcp-timeout=%s\n\n[ipv6]\nmethod=auto\n' "$timeout"
            if [ "$type" = infiniband ]; then printf '\n[infiniband]\ntransport-mode=datagram\n'; fi
        } > "$keyfile.new"
        chmod 0600 "$keyfile.new"
        mv "$keyfile.new" "$keyfile"
    fi
    # If it is not running yet, it will find the file.
    if systemctl --quiet is-active NetworkManager.service; then nmcli connection load "$keyfile"; fi
}

is_wired_hardware || leave "not wired hardware of its own"
case "$backend" in
    ifupdown) with_ifupdown ;;
    networkmanager) with_networkmanager ;;
    *)
        echo "$interface: unknown backend '$backend'" >&2
        exit 1
        ;;
esac

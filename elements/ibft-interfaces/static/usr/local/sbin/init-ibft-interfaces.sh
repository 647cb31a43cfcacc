#!/bin/bash
#
# Brings up the interfaces that the firmware's iSCSI table (iBFT) names.

if [ "${DIB_DEBUG_TRACE:-0}" -gt 0 ]; then
    set -x
fi
set -eu
set -o pipefail

table=/sys/firmware/ibft
modprobe iscsi_ibft 2>/dev/null || true
if [ ! -d "$table" ]; then
    echo "The firmware has no iSCSI table"
    exit 0
fi
iscsistart -N

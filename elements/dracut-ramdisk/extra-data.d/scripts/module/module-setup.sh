#!/bin/bash
#
# dracut's module with init: it runs where dracut would mount the root filesystem.
#
# dib-lint: disable=sete setu setpipefail dibdebugtrace

check() {
    return 0
}

depends() {
    # The scripts are bash's.
    echo bash network
}

install() {
    # shellcheck disable=SC2154  # dracut sets it
    inst_hook cmdline 80 "$moddir/deploy-cmdline.sh"
    inst_hook pre-mount 50 "$moddir/init.sh"
    # rd.neednet=1 is not enough for systemd-networkd. Other programs that dracut starts a network with do without.
    inst_simple "$moddir/wired.network" /etc/systemd/network/80-deploy-ramdisk.network
}

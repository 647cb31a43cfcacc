case "$ARCH" in
    amd64 | x86_64) ;;
    *)
        echo "upgrade-tiny does not know how machines of $ARCH start" >&2
        exit 1
        ;;
esac
export UPGRADE_TINY_UEFI=${UPGRADE_TINY_UEFI:-}
export UPGRADE_TINY_NAME=${UPGRADE_TINY_NAME:-va}
export UPGRADE_TINY_VG=${UPGRADE_TINY_VG:-VA}
export UPGRADE_TINY_VERSION=${UPGRADE_TINY_VERSION:-$DIB_RELEASE}
export UPGRADE_TINY_COMPRESS=${UPGRADE_TINY_COMPRESS:-xz}
export UPGRADE_TINY_KEY=${UPGRADE_TINY_KEY:-}
export UPGRADE_TINY_INITRAMFS=${UPGRADE_TINY_INITRAMFS:-regenerate}
export DIB_BLOCK_DEVICE=gpt
if [ -n "$UPGRADE_TINY_UEFI" ]; then
    export DIB_BLOCK_DEVICE=efi
fi

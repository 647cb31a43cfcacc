if [ "$ARCH" = "arm64" ] || [ "$ARCH" = "aarch64" ]; then
    echo "block-device-mbr does not work on $ARCH: use block-device-efi" >&2
    exit 1
fi
export DIB_BLOCK_DEVICE="mbr"

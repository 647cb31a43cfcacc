if [ "$ARCH" = "ppc64le" ] || [ "$ARCH" = "ppc64el" ] || [ "$ARCH" = "ppc64" ]; then
    echo "block-device-efi-lvm does not work on $ARCH: use block-device-gpt" >&2
    exit 1
fi
export DIB_BLOCK_DEVICE="efi"

# Interfaces are called eth0 there.
export DIB_BOOTLOADER_DEFAULT_CMDLINE="${DIB_BOOTLOADER_DEFAULT_CMDLINE:-nofb nomodeset gfxpayload=text} net.ifnames=0"
export DIB_BLOCK_DEVICE=mbr
if [ -n "${OLD_UEFI:-}" ]; then
    export DIB_BLOCK_DEVICE=efi
fi

export DIB_BLOCK_DEVICE=${DIB_BLOCK_DEVICE:-}
export DIB_SKIP_GRUB_PACKAGE_INSTALL=${DIB_SKIP_GRUB_PACKAGE_INSTALL:-False}
export DIB_GRUB_TIMEOUT=${DIB_GRUB_TIMEOUT:-5}
export DIB_GRUB_TIMEOUT_STYLE=${DIB_GRUB_TIMEOUT_STYLE:-menu}
export DIB_NO_TIMER_CHECK=${DIB_NO_TIMER_CHECK:-True}
export DIB_BOOTLOADER_DEFAULT_CMDLINE="${DIB_BOOTLOADER_DEFAULT_CMDLINE:-nofb nomodeset gfxpayload=text}"
export DIB_BOOTLOADER_USE_SERIAL_CONSOLE=${DIB_BOOTLOADER_USE_SERIAL_CONSOLE:-True}
export DIB_BOOTLOADER_VIRTUAL_TERMINAL=${DIB_BOOTLOADER_VIRTUAL_TERMINAL-tty0}

# Which of GRUB's platforms this image needs.
export IMAGE_GRUB_BIOS="0"
export IMAGE_GRUB_EFI="0"
case "$ARCH" in
    amd64 | x86_64 | i386)
        if [ "$DIB_BLOCK_DEVICE" != "" ]; then
            export IMAGE_GRUB_BIOS="1"
        fi
        export DIB_BOOTLOADER_SERIAL_CONSOLE=${DIB_BOOTLOADER_SERIAL_CONSOLE:-ttyS0,115200}
        ;;
    arm64 | aarch64)
        export DIB_BOOTLOADER_SERIAL_CONSOLE=${DIB_BOOTLOADER_SERIAL_CONSOLE:-ttyAMA0,115200}
        ;;
    ppc64 | ppc64el | ppc64le)
        export DIB_BOOTLOADER_SERIAL_CONSOLE=${DIB_BOOTLOADER_SERIAL_CONSOLE:-hvc0}
        ;;
    *)
        export DIB_BOOTLOADER_SERIAL_CONSOLE=${DIB_BOOTLOADER_SERIAL_CONSOLE:-ttyS0,115200}
        ;;
esac
if [ "$DIB_BLOCK_DEVICE" = "efi" ]; then
    export IMAGE_GRUB_EFI="1"
    # No BIOS reads a disk with larger sectors.
    if [ "${IMAGE_SECTOR_SIZE:-512}" != "512" ]; then
        export IMAGE_GRUB_BIOS="0"
    fi
fi

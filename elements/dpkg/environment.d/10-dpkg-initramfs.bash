export DIB_INITRAMFS=${DIB_INITRAMFS:-distribution}

# dracut has to be told on the command line that the firmware knows the target.
case "$DISTRO_NAME" in
    almalinux | centos | fedora | rhel | rocky)
        export DIB_BOOTLOADER_DEFAULT_CMDLINE="${DIB_BOOTLOADER_DEFAULT_CMDLINE:-nofb nomodeset gfxpayload=text} rd.iscsi.firmware=1"
        ;;
esac

export DISTRO_NAME=rocky
export DIB_RELEASE=${DIB_RELEASE:-9}
export DIB_INIT_SYSTEM=systemd
export EFI_BOOT_DIR="EFI/rocky"
export DIB_DISTRIBUTION_MIRROR=${DIB_ROCKY_MIRROR:-${DIB_DISTRIBUTION_MIRROR:-}}
export DIB_ROCKY_PACKAGES="${DIB_ROCKY_PACKAGES:-@core NetworkManager dracut kernel}"
export DIB_ROCKY_GPG_KEY=${DIB_ROCKY_GPG_KEY:-}

# What the bootstrap of yum-minimal has to know.
export IMAGE_RPM_PACKAGES="$DIB_ROCKY_PACKAGES"
export IMAGE_RPM_KEY=${DIB_ROCKY_GPG_KEY}
case "$DIB_RELEASE" in
    9 | 9.*)
        export IMAGE_RPM_DATABASE=/var/lib/rpm
        export IMAGE_RPM_PLATFORM="platform:el9"
        export IMAGE_RPM_KEY_NAME="RPM-GPG-KEY-Rocky-9"
        export IMAGE_RPM_KEY_FINGERPRINT=21CB256AE16FC54C6E652949702D426D350D275D
        ;;
    *)
        export IMAGE_RPM_DATABASE=/usr/lib/sysimage/rpm
        export IMAGE_RPM_PLATFORM="platform:el10"
        export IMAGE_RPM_KEY_NAME="RPM-GPG-KEY-Rocky-10"
        export IMAGE_RPM_KEY_FINGERPRINT=FC226859C0860BF0DDB95B085B106C736FEDFC85
        ;;
esac
export IMAGE_RPM_KEY_URL="https://dl.rockylinux.org/pub/rocky/$IMAGE_RPM_KEY_NAME"

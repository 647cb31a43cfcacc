export DISTRO_NAME=centos
export DIB_RELEASE=${DIB_RELEASE:-9-stream}
export DIB_INIT_SYSTEM=systemd
export EFI_BOOT_DIR="EFI/centos"
export DIB_DISTRIBUTION_MIRROR=${DIB_DISTRIBUTION_MIRROR:-}
export DIB_CENTOS_PACKAGES="${DIB_CENTOS_PACKAGES:-@core NetworkManager dracut kernel}"
export DIB_CENTOS_GPG_KEY="${DIB_CENTOS_GPG_KEY:-}"

# What the bootstrap of yum-minimal has to know. Releases 9 and 10 are signed with one key; that of the package for 10
# has the same fingerprint and a newer signature of its own.
export IMAGE_RPM_PACKAGES="$DIB_CENTOS_PACKAGES"
export IMAGE_RPM_KEY="$DIB_CENTOS_GPG_KEY"
export IMAGE_RPM_KEY_PACKAGE="centos-gpg-keys"
export IMAGE_RPM_KEY_FINGERPRINT="${DIB_CENTOS_GPG_FINGERPRINT:-99DB70FAE1D7CE227FB6488205B555B38483C65D}"
case "$DIB_RELEASE" in
    9 | 10)
        export DIB_RELEASE="$DIB_RELEASE-stream"
        ;;
esac
case "$DIB_RELEASE" in
    9-stream)
        export IMAGE_RPM_DATABASE=/var/lib/rpm
        export IMAGE_RPM_PLATFORM="platform:el9"
        ;;
    *)
        export IMAGE_RPM_DATABASE=/usr/lib/sysimage/rpm
        export IMAGE_RPM_PLATFORM="platform:el10"
        ;;
esac

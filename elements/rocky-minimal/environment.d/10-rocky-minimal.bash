export DISTRO_NAME=rocky
export DIB_RELEASE=${DIB_RELEASE:-9}
export DIB_INIT_SYSTEM=systemd
export EFI_BOOT_DIR="EFI/rocky"
export DIB_DISTRIBUTION_MIRROR=${DIB_ROCKY_MIRROR:-${DIB_DISTRIBUTION_MIRROR:-}}
export DIB_ROCKY_PACKAGES="${DIB_ROCKY_PACKAGES:-@core NetworkManager dracut kernel}"
export DIB_ROCKY_GPG_KEY="${DIB_ROCKY_GPG_KEY:-}"
export DIB_ROCKY_GPG_FINGERPRINT="${DIB_ROCKY_GPG_FINGERPRINT:-}"

# What the bootstrap of yum-minimal has to know. The fingerprints are those that Rocky Linux publishes.
export IMAGE_RPM_PACKAGES="$DIB_ROCKY_PACKAGES"
export IMAGE_RPM_KEY="$DIB_ROCKY_GPG_KEY"
export IMAGE_RPM_KEY_PACKAGE="rocky-gpg-keys"
export IMAGE_RPM_KEY_FINGERPRINT="$DIB_ROCKY_GPG_FINGERPRINT"
export IMAGE_RPM_KEY_HINT="set DIB_ROCKY_GPG_KEY or DIB_ROCKY_GPG_FINGERPRINT"
case "$DIB_RELEASE" in
    9 | 9.*)
        export IMAGE_RPM_DATABASE=/var/lib/rpm
        export IMAGE_RPM_PLATFORM="platform:el9"
        export IMAGE_RPM_KEY_FINGERPRINT="${IMAGE_RPM_KEY_FINGERPRINT:-21CB256AE16FC54C6E652949702D426D350D275D}"
        ;;
    10 | 10.*)
        export IMAGE_RPM_DATABASE=/usr/lib/sysimage/rpm
        export IMAGE_RPM_PLATFORM="platform:el10"
        export IMAGE_RPM_KEY_FINGERPRINT="${IMAGE_RPM_KEY_FINGERPRINT:-FC226859C0860BF0DDB95B085B106C736FEDFC85}"
        ;;
    *)
        export IMAGE_RPM_DATABASE=/usr/lib/sysimage/rpm
        export IMAGE_RPM_PLATFORM=
        ;;
esac

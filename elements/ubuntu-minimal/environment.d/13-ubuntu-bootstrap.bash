export DIB_APT_MINIMAL_CREATE_INTERFACES=${DIB_APT_MINIMAL_CREATE_INTERFACES:-1}
export DIB_NETWORK_INTERFACE_NAMES=${DIB_NETWORK_INTERFACE_NAMES:-}
export IMAGE_BOOTSTRAP_PACKAGES="${IMAGE_BOOTSTRAP_PACKAGES:-} ca-certificates dbus iproute2 kmod libpam-systemd netbase procps sudo systemd systemd-sysv udev"

case "${DIB_INIT_SYSTEM:-}" in
    systemd | upstart | openrc | sysv) ;;
    *)
        echo "DIB_INIT_SYSTEM is '${DIB_INIT_SYSTEM:-}': the operating system's element must set it to systemd, upstart, openrc or sysv" >&2
        exit 1
        ;;
esac

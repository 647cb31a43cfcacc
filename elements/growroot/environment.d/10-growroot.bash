# The engine exports it in every phase; the default serves builds without a disk layout.
export DIB_ROOT_FSTYPE=${DIB_ROOT_FSTYPE:-ext4}

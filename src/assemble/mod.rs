//! Turns finished trees into outputs: disks, filesystems, archives.

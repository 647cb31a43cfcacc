"""GRUB's core images, as Rocky ships one for UEFI. The program that makes them is the host's."""

from standin.report import run


def make_image(path, image, platforms):
    """Makes the core image `path` from the modules of its platform below the directory `platforms`."""
    command = ["grub-mkimage", "--directory", platforms / image["platform"], "--format", image["platform"]]
    run([*command, "--prefix", image["prefix"], "--output", path, *image["modules"]], f"making {path.name}")

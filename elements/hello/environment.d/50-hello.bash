# Read by bash before the hooks of every phase, on the host and in the chroot. Not a program: no execute bit, no output.
# The caller's value wins; what follows :- is the default. Names of our own begin with IMAGE_.
export IMAGE_HELLO_NAME=${IMAGE_HELLO_NAME:-world}

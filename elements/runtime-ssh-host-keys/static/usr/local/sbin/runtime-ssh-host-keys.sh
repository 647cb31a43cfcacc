#!/bin/bash
# Makes the SSH host keys that are missing. A machine that lost power in the middle of its first boot can have
# empty ones, which sshd refuses and ssh-keygen -A takes for present.
#
# dib-lint: disable=dibdebugtrace
set -eu
set -o pipefail

find /etc/ssh -maxdepth 1 -name 'ssh_host_*_key*' -empty -delete
ssh-keygen -A
sync -f /etc/ssh

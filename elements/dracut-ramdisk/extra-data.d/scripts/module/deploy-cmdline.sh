#!/bin/bash
#
# Has dracut wait for no root filesystem: it comes as far as the hook that is init, and no further.
#
# dib-lint: disable=sete setu setpipefail dibdebugtrace
# shellcheck disable=SC2034  # dracut reads them

root=/dev/zero
rootok=1

export PIP_CERT=/tmp/host-certificates.crt
export REQUESTS_CA_BUNDLE=/tmp/host-certificates.crt

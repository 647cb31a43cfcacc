export DIB_DHCP_TIMEOUT=${DIB_DHCP_TIMEOUT:-30}
export DIB_DHCP_NETWORK_MANAGER_AUTO=${DIB_DHCP_NETWORK_MANAGER_AUTO:-false}
export DIB_DHCP_CLIENT=${DIB_DHCP_CLIENT:-internal}
# The bootstrap elements would name eth0 and eth1 in the network configuration; here interfaces are found at boot.
# 05 sorts before their files, so this is the default that counts.
export DIB_APT_MINIMAL_CREATE_INTERFACES=${DIB_APT_MINIMAL_CREATE_INTERFACES:-0}
export DIB_YUM_MINIMAL_CREATE_INTERFACES=${DIB_YUM_MINIMAL_CREATE_INTERFACES:-0}

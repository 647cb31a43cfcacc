# The image's own repository files name no places, only mirror lists.
s|^metalink *=.*[?&]repo=centos-baseos-\$stream&.*|&\n#baseurl=https://mirror.stream.centos.org/$stream/BaseOS/$basearch/os/|
s|^metalink *=.*[?&]repo=centos-appstream-\$stream&.*|&\n#baseurl=https://mirror.stream.centos.org/$stream/AppStream/$basearch/os/|
s|^metalink *=.*[?&]repo=centos-crb-\$stream&.*|&\n#baseurl=https://mirror.stream.centos.org/$stream/CRB/$basearch/os/|

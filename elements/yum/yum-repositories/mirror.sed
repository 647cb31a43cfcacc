# Turns a distribution's repository file to the mirror that stands for @MIRROR@.
s/^(mirrorlist|metalink) *=/#&/
/\$releasever/s/^#?baseurl *= *[^$]*(\$contentdir\/)?/baseurl=@MIRROR@\//

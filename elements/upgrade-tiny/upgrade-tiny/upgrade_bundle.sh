#!/bin/sh
# dib-lint: disable=executable indent
# shellcheck disable=SC2034 # what one file sets others read
# Whether the bundle is whole and from whom it says, and what its manifest asks for. Read by upgrade_to_tiny_system.sh.

# text KEY, number KEY: a value of manifest.json, which has each on a line of its own.
text() { sed -n "s/^  \"$1\": \"\\([^\"\\\\]*\\)\",\\{0,1\\}\$/\\1/p" "$HERE/manifest.json" 2>/dev/null | sed -n 1p; }
number() { sed -n "s/^  \"$1\": \\([0-9]\\{1,17\\}\\),\\{0,1\\}\$/\\1/p" "$HERE/manifest.json" 2>/dev/null | sed -n 1p; }

# Lines "DIGEST BYTES NAME" of the bundle's files.
listed() {
    sed -n 's/^    "\([^"\\]*\)": {"bytes": \([0-9]\{1,17\}\), "sha256": "\([0-9a-f]\{64\}\)"},\{0,1\}$/\3 \2 \1/p' "$HERE/manifest.json"
}

check_bundle() {
    cb_before=$REFUSED
    if [ ! -f "$HERE/manifest.json" ]; then
        refuse "the bundle is incomplete: no manifest.json beside this script in $HERE"
    else
        check_signature
        check_manifest && check_files
    fi
    [ "$REFUSED" = "$cb_before" ] || BUNDLE_OK=
}

check_manifest() {
    cm_missing=
    [ "$(sed -n '$p' "$HERE/manifest.json")" = "}" ] || cm_missing=" its end"
    [ "$(number format)" = 1 ] || cm_missing="$cm_missing format:1"
    NAME=$(text name); VERSION=$(text version); SYSTEM=$(text system); ARCH=$(text arch); FIRMWARE=$(text firmware)
    PAYLOAD=$(text payload); RAM=$(number ram_bytes); DISK_BYTES=$(number disk_bytes); BOOT_FREE=$(number boot_free_bytes)
    GROUP=$(sed -n 's/^  "layout": .*"group": *"\([^"]*\)".*/\1/p' "$HERE/manifest.json")
    for cm_pair in "name=$NAME" "version=$VERSION" "arch=$ARCH" "firmware=$FIRMWARE" "payload=$PAYLOAD" "ram_bytes=$RAM" \
        "disk_bytes=$DISK_BYTES" "boot_free_bytes=$BOOT_FREE" "layout.group=$GROUP"; do
        [ -n "${cm_pair#*=}" ] || cm_missing="$cm_missing ${cm_pair%%=*}"
    done
    for cm_name in "$PAYLOAD" "$NAME.sgdisk" "$NAME.drivers" vmlinuz-convert initramfs-convert.img; do
        listed | grep -q " $cm_name\$" || cm_missing="$cm_missing files:$cm_name"
    done
    [ -z "$cm_missing" ] && return
    refuse "manifest.json is damaged or of another format; it lacks:$cm_missing"
    return 1
}

check_signature() {
    cs_key=${KEY:-$ROOT/etc/upgrade-tiny/trusted.pem}
    [ -z "$KEY" ] || [ -r "$KEY" ] || { refuse "the key $KEY cannot be read"; return; }
    if [ -z "$VERIFY" ]; then
        note "the bundle's signature is not checked (--no-verify)"
    elif [ ! -f "$cs_key" ] && [ ! -f "$HERE/manifest.json.sig" ]; then
        note "the bundle is not signed, and there is no key at $cs_key that asks for it"
    elif [ ! -f "$cs_key" ]; then
        refuse "the bundle is signed, and there is no key to check it with: give --key FILE (or --no-verify)"
    elif [ ! -f "$HERE/manifest.json.sig" ]; then
        refuse "the bundle is not signed, and $cs_key asks for a signature: manifest.json.sig is missing"
    elif ! have openssl; then
        refuse "missing tool: openssl, to check the bundle's signature"
    elif ! openssl dgst -sha256 -verify "$cs_key" -signature "$HERE/manifest.json.sig" "$HERE/manifest.json" >/dev/null 2>&1; then
        refuse "the signature of manifest.json is wrong for the key $cs_key: the bundle was changed, or signed by someone else"
    fi
}

check_files() {
    listed >"$WORK/listed"
    while read -r cf_digest cf_bytes cf_name; do
        case $cf_name in
        backup.d/*/* | *..* | /*) refuse "manifest.json names a file outside of the bundle: $cf_name"; continue ;;
        backup.d/*) ;;
        */*) refuse "manifest.json names a file outside of the bundle: $cf_name"; continue ;;
        esac
        cf_file=$HERE/$cf_name
        if [ ! -f "$cf_file" ]; then
            refuse "the bundle is incomplete: $cf_name is missing ($cf_bytes bytes)"
        elif [ "$(stat -L -c %s "$cf_file")" != "$cf_bytes" ]; then
            refuse "$cf_name is truncated or changed: $(stat -L -c %s "$cf_file") bytes here, $cf_bytes in the manifest"
        else
            cf_have=$(sha256sum <"$cf_file")
            [ "${cf_have%% *}" = "$cf_digest" ] ||
                refuse "$cf_name is corrupt: SHA-256 ${cf_have%% *} here, $cf_digest in the manifest"
        fi
    done <"$WORK/listed"
    for cf_file in "$HERE"/backup.d/*; do
        [ -f "$cf_file" ] || continue
        cut -d ' ' -f 3- "$WORK/listed" | grep -qxF "backup.d/${cf_file##*/}" ||
            refuse "backup.d/${cf_file##*/} is not in the manifest: remove it or unpack the bundle again"
    done
}

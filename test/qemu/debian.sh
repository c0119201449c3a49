#!/bin/sh
# Unpacks what the machines of this package start from Debian's packages into bin/qemu, and installs nothing of it.
set -eu
cd "$(dirname "$0")/../.."
apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1 || apt-get update
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-.*-cloud-amd64\)$/\1/p' | head -n 1)
mkdir -p bin/qemu/deb
cd bin/qemu/deb
apt-get download "$kernel" e2fsck-static
for deb in *.deb; do dpkg-deb -x "$deb" ..; done
cd .. && rm -rf deb

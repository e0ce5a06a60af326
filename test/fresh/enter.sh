#!/bin/sh
# Makes a folder the root of this (private) mount namespace and goes on in it with inside.sh. Called by main.ts under unshare.
# Usage: enter.sh ROOT short|whole
set -eu
root=$1
mount --bind "$root" "$root"
for folder in proc sys dev; do
  mount --rbind "/$folder" "$root/$folder"
done
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/old"
cd "$root"
pivot_root . old
# The bare root has no umount; the old one takes itself away.
chroot /old umount -l /
rmdir /old
exec sh /root/inside.sh "$2"

#!/bin/busybox sh
# First process of the guest, in its initramfs: loads the modules, makes the root file system out of the host's own (read-only)
# and a tmpfs for what changes, and hands over to guest.sh there. Everything it needs is in this archive.
busybox=/bin/busybox
. /job
$busybox mount -t proc proc /proc
for module in /modules/*; do $busybox insmod "$module"; done
$busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 host /host &&
  $busybox mount -t tmpfs -o size=50% changes /changes &&
  $busybox mkdir /changes/upper /changes/work &&
  $busybox mount -t overlay -o lowerdir=/host,upperdir=/changes/upper,workdir=/changes/work root /new-root || {
  echo "guest: no root file system"
  $busybox poweroff -f
}
$busybox ifconfig lo up
$busybox umount /proc
exec $busybox switch_root /new-root /bin/sh "$project/test/v2/guest.sh" "$project" "$busybox_on_host" "$time_scale" "$@"

#!/bin/sh
# First process of the guest after init.sh: mounts cgroup v2 and nothing of v1, runs /out/command, leaves its exit status in
# /out/status (/out is a folder of the host) and powers off. The root is the host's, so its tools and packages are here.
project=$1 busybox=$2 scale=$3
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp THAW_TEST_TIME_SCALE="$scale" NO_COLOR=1
# What is mounted below would hide a repository in /tmp or /run.
mkdir -p /project && mount --bind "$project" /project
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /out
mount -t devpts pts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mount -t ext4 /dev/vda /tmp && chmod 1777 /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 out /out
[ -e "$project/package.json" ] || { mkdir -p "$project" && mount --bind /project "$project"; }
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
read -r up _ </proc/uptime
echo "guest: up after $up s, kernel $(uname -r), $(nproc) CPUs, controllers: $(cat /sys/fs/cgroup/cgroup.controllers)"
cd "$project" || "$busybox" poweroff -f
# Through a pipe: to a terminal the test runner would draw instead of print.
{ sh /out/command; echo $? >/out/status; } 2>&1 </dev/null | cat
read -r up _ </proc/uptime
echo "guest: exit $(cat /out/status) after $up s"
sync
"$busybox" poweroff -f

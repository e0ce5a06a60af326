#!/bin/sh
# Cleans up after a platform that could not do it itself (kill -9 included). It holds the read end of a pipe from the
# platform: one line on it means "stopped in order, nothing to do"; its end without a line means the platform is dead.
# Removes only what carries this platform's id. Every loop is bounded; what it cannot remove, the next start sweeps.
# usage: guard.sh ID RUN_DIR STATE_DIR CGROUP_ROOT UID_FILE
id=$1 run=$2 state=$3 cgroups=$4 uid_file=$5
trap '' INT TERM HUP
if read -r _; then exit 0; fi

# The platform's cgroups in every hierarchy, v1 and v2.
parents() {
  for parent in "$cgroups/thaw-$id" "$cgroups"/*/"thaw-$id"; do
    if [ -d "$parent" ]; then echo "$parent"; fi
  done
}

# The compressed swap that the platform made.
remove_zram() {
  if ! read -r device <"$run/zram"; then return; fi
  case $device in
    zram[0-9]*)
      swapoff "/dev/$device"
      echo 1 >"/sys/block/$device/reset"
      echo "${device#zram}" >/sys/class/zram-control/hot_remove
      ;;
  esac
}

# The sandboxes' network: their links went with them; the filter goes when there is nothing left to filter.
remove_network() {
  if [ ! -e "$run/network/table" ]; then return; fi
  for interface in $(sed -n "s/^ *\(thw$id[^: ]*\):.*/\1/p" /proc/self/net/dev); do ip link del "$interface"; done
  nft delete table inet "thaw-$id"
  namespace=$(readlink /proc/self/ns/net)
  shared=${run%/*}/forwarding-${namespace#*[}
  shared=${shared%]}
  rm -f "$shared/$id"
  # The last one puts the host's switch back to where the first found it.
  for other in "$shared"/*; do
    case $other in */was-off | *'/*') continue ;; esac
    if [ -e "${run%/*}/${other##*/}" ]; then return; fi
  done
  if [ -e "$shared/was-off" ]; then
    strangers=$(sed -n 's/^ *\([^ :]*\):.*/\1/p' /proc/self/net/dev | grep -v -x -F -e lo -f "$shared/was-off" | grep -v '^thw')
    if [ -z "$strangers" ]; then echo 0 >/proc/sys/net/ipv4/ip_forward; fi
  fi
  rm -rf "$shared"
}

# The platform's own cgroup holds what it started (never its sandboxes): those go back to the root and it goes away.
leave_reserve() {
  for reserve in "$cgroups/thaw-$id-platform" "$cgroups"/*/"thaw-$id-platform"; do
    if [ ! -d "$reserve" ]; then continue; fi
    while read -r pid; do echo "$pid" >"${reserve%/*}/cgroup.procs"; done <"$reserve/cgroup.procs"
    rmdir "$reserve"
  done 2>/dev/null
}

# An OCI runtime that is still creating a sandbox would finish it after we are done.
kill_creators() {
  for file in $(grep -l -a -s -F -e "--root=$run/oci" /proc/[0-9]*/cmdline); do
    pid=${file#/proc/}
    pid=${pid%/cmdline}
    if [ "$pid" != "$$" ]; then kill -9 "$pid" 2>/dev/null; fi
  done
}

# One round: thaw (v1 holds signals of frozen processes back) and kill. False while anything was still alive.
kill_round() {
  empty=true
  for parent in $(parents); do
    if [ -e "$parent/cgroup.kill" ]; then echo 1 >"$parent/cgroup.kill"; fi
    for group in "$parent" "$parent"/*/; do
      if [ -e "$group/cgroup.freeze" ]; then echo 0 >"$group/cgroup.freeze"; fi
      if [ -e "$group/freezer.state" ]; then echo THAWED >"$group/freezer.state"; fi
      if [ ! -e "$group/cgroup.procs" ]; then continue; fi
      while read -r pid; do
        empty=false
        if [ "$pid" -gt 1 ]; then kill -9 "$pid"; fi
      done <"$group/cgroup.procs"
    done
  done 2>/dev/null
  $empty
}

unmount_all() {
  targets=
  while read -r _ _ _ _ target _; do
    case $target in "$run"/*) targets="$target $targets" ;; esac
  done </proc/self/mountinfo
  for target in $targets; do umount -l "$target"; done
}

detach_disks() {
  for file in /sys/block/loop*/loop/backing_file; do
    if ! read -r backing <"$file"; then continue; fi
    case $backing in
      "$state"/scratch/*)
        device=${file#/sys/block/}
        losetup -d "/dev/${device%%/*}"
        ;;
    esac
  done
}

remove_cgroups() {
  for parent in $(parents); do find "$parent" -depth -type d -exec rmdir {} ';'; done
  [ -z "$(parents)" ]
}

round=0
until kill_creators; kill_round || [ "$round" -ge 200 ]; do
  round=$((round + 1))
  sleep 0.05
done
{
  unmount_all
  remove_network
  detach_disks
  remove_zram
  round=0
  until { leave_reserve; remove_cgroups; } || [ "$round" -ge 100 ]; do
    round=$((round + 1))
    sleep 0.05
  done
  rm -f "$state"/scratch/sandbox-*.img "$state"/scratch/weighted.img
  # Never into a volume that could not be unmounted.
  rm -rf --one-file-system "$run"
  # Nobody else can have taken the name: who starts on this state directory ends this guard first.
  rm -f "$uid_file" "${run%/*}/owners/$id"
  rmdir "${uid_file%/*}" "${run%/*}/owners" "${run%/*}"
} 2>/dev/null
exit 0

#!/bin/sh
# What a stranger does, inside the bare root: npm start, the tour, Ctrl-C; with `whole` npm test. Fails with the first thing that does.
set -eu
cd /root/thaw
say() { echo "fresh: $*"; }
die() {
  say "$1"
  tail -n 60 /root/start.log
  exit 1
}
# Whatever goes wrong, the platform ends in an orderly way: its guard would die with this namespace.
platform=""
trap '[ -z "$platform" ] || { kill -TERM -"$platform" 2>/dev/null && wait "$platform"; }' EXIT
# Debian's npm brings python3 and a compiler; nothing here may be what bin/setup is to bring.
: >/root/start.log
for command in runc redis-server losetup; do
  if command -v "$command" >/dev/null 2>&1; then die "$command is here already: this is no bare machine"; fi
done
say "Node $(node --version), npm $(npm --version), commit $(git rev-parse --short HEAD)"

# A process group of its own, as a terminal gives it.
began=$(date +%s)
setsid npm start >/root/start.log 2>&1 &
platform=$!
until grep -q 'the next call' /root/start.log; do
  kill -0 "$platform" 2>/dev/null || die "npm start ended by itself"
  [ $(($(date +%s) - began)) -lt 600 ] || die "npm start gave no first answer in 10 minutes"
  sleep 0.2
done
say "npm start: first answer after $(($(date +%s) - began)) s"
cat /root/start.log

sh /root/tour.sh || die "the tour does not work as written"
say "the tour works as written"
[ -z "$(git status --porcelain | grep -v greet.ts)" ] || die "the tree changed: $(git status --porcelain)"

id=$(cat .fn/id)
kill -INT -"$platform"
wait "$platform" || status=$?
platform=""
case "${status:-0}" in 0 | 130) ;; *) die "Ctrl-C: npm start ended with $status" ;; esac
for left in /run/thaw/"$id" $(find /sys/fs/cgroup -maxdepth 4 -name "*thaw-$id*" 2>/dev/null); do
  [ ! -e "$left" ] || die "left behind: $left"
done
[ -z "$(ls -d /proc/[0-9]*/exe 2>/dev/null | xargs -r -n 1 readlink 2>/dev/null | grep -E 'redis|/node$' || true)" ] || die "processes are left"
say "Ctrl-C leaves nothing"
rm greet.ts

if [ "$1" = whole ]; then
  npm test
  say "npm test is green"
fi

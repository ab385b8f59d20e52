#!/usr/bin/env bash
# What tidegate.service does to its process before it begins, as far as a mount namespace and setpriv can do the same: as root, in a mount namespace of its own.
#
#   hardened.sh FOLDER PROGRAM…      FOLDER is the only place that can be written to; PROGRAM runs there as an ordinary user

set -euo pipefail
readonly folder="$1" user=65534
shift
mount --make-rprivate /
mkdir -p "$folder/closed" "$folder/tmp"
chmod 000 "$folder/closed"
chmod 1777 "$folder/tmp"
# ProtectSystem=strict: all but the API's file systems.
while read -r place; do
  mount -o bind,remount,ro "$place" 2>/dev/null || true
done < <(awk '{ print $5 }' /proc/self/mountinfo | grep -vE '^/(dev|proc|sys)(/|$)')
mount --bind "$folder" "$folder"
mount -o bind,remount,rw "$folder"
# ProtectKernelModules=, ProtectHome=, PrivateTmp=.
[[ ! -d /usr/lib/modules ]] || { mount --bind "$folder/closed" /usr/lib/modules && mount -o bind,remount,ro /usr/lib/modules; }
mount -t tmpfs -o ro,mode=000 tidegate /home
cd "$folder/repository"
# User=, NoNewPrivileges=, CapabilityBoundingSet=.
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
  env -i PATH=/usr/bin:/bin HOME="$folder/home" TMPDIR="$folder/tmp" TIDEGATE_STATE_DIR="$folder/state" "$@"

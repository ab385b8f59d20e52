#!/usr/bin/env bash
# Makes what a release consists of. actions/tidegate/install.sh expects these names and this form of checksums, and tests/action/release.rs that both agree.
#
#   packaging/release.sh pack PROGRAM TAG FOLDER          FOLDER/tidegate-VERSION-MACHINE-linux.tar.gz, the same bytes for the same program
#   packaging/release.sh sums TAG FOLDER MACHINE...       FOLDER/SHA256SUMS of the archives of exactly these machines
#   packaging/release.sh still TAG COMMIT [REMOTE]        whether the tag is at that commit where everybody gets it from (origin), now

set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# The newest C library that it may need: that of the oldest systems that are spoken of in docs/operations.md.
readonly BASELINE="${TIDEGATE_RELEASE_GLIBC:-2.35}"

fail() {
  printf 'release: %s\n' "$1" >&2
  exit 1
}

version_of() {
  [[ "$1" =~ ^v([0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?)$ ]] || fail "expected a tag such as v1.2.3, found $1"
  printf '%s' "${BASH_REMATCH[1]}"
}

machine_of() {
  local header
  header="$(readelf --file-header "$1" 2>/dev/null)" || fail "$1 is not a program of Linux"
  case "$header" in
    *"Machine:"*"X86-64"*) printf x86_64 ;;
    *"Machine:"*"AArch64"*) printf aarch64 ;;
    *) fail "$1 is for a machine that there are no releases for" ;;
  esac
}

# Symbols say which C library they came with.
within_baseline() {
  local newest
  newest="$(readelf --version-info --wide "$1" | grep -o 'GLIBC_[0-9.]*' | sort --version-sort --unique | tail -1)" || return 0
  newest="${newest#GLIBC_}"
  [[ "$(printf '%s\n%s\n' "$newest" "$BASELINE" | sort --version-sort | tail -1)" == "$BASELINE" ]] ||
    fail "$1 needs the C library $newest: build it where it is $BASELINE or older"
}

pack() {
  local program="$1" folder="$3" version machine said archive place
  version="$(version_of "$2")"
  machine="$(machine_of "$program")"
  within_baseline "$program"
  said="$("$program" --version)"
  [[ "$said" == "tidegate $version" ]] || fail "the tag is $2, and the program says that it is $said"
  archive="tidegate-$version-$machine-linux.tar.gz"
  mkdir -p "$folder"
  place="$(mktemp -d)"
  # shellcheck disable=SC2064
  trap "rm -rf '$place'" EXIT
  install -m 0755 "$program" "$place/tidegate"
  install -m 0644 "$root/README.md" "$root/CHANGELOG.md" "$root/LICENSE-APACHE" "$root/LICENSE-MIT" "$place/"
  install -d -m 0755 "$place/systemd"
  install -m 0644 "$root"/packaging/systemd/* "$place/systemd/"
  tar --create --file - --directory "$place" --sort=name --format=ustar --owner=0 --group=0 --numeric-owner \
    --mtime="@${SOURCE_DATE_EPOCH:-0}" tidegate README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT systemd | gzip --no-name --best >"$folder/$archive"
  printf '%s\n' "$folder/$archive"
}

sums() {
  local folder="$2" version machine wanted=() found
  version="$(version_of "$1")"
  shift 2
  (($# > 0)) || fail "for which machines?"
  for machine in "$@"; do wanted+=("tidegate-$version-$machine-linux.tar.gz"); done
  found="$(cd "$folder" && find . -mindepth 1 ! -name SHA256SUMS -printf '%P\n' | sort)"
  [[ "$found" == "$(printf '%s\n' "${wanted[@]}" | sort)" ]] || fail "expected ${wanted[*]} in $folder, found ${found//$'\n'/ }"
  (cd "$folder" && sha256sum -- "${wanted[@]}" >SHA256SUMS)
}

# A build takes its time, and somebody's word longer: a tag that has been moved meanwhile names what nobody has built and looked at.
still() {
  local tag="$1" commit="$2" remote="${3:-origin}" listed name at now=""
  version_of "$tag" >/dev/null
  [[ "$commit" =~ ^[0-9a-f]{40}([0-9a-f]{24})?$ ]] || fail "expected a commit in full, found $commit"
  listed="$(git ls-remote "$remote" "refs/tags/$tag" "refs/tags/$tag^{}")" || fail "$remote does not say where $tag is"
  # Patterns match the ends of names; and an annotated tag comes first as itself, then as what it is of.
  while read -r at name; do
    case "$name" in "refs/tags/$tag" | "refs/tags/$tag^{}") now="$at" ;; *) ;; esac
  done <<<"$listed"
  [[ -n "$now" ]] || fail "$tag is not there any more"
  [[ "$now" == "$commit" ]] || fail "$tag is at $now now, and $commit was built: nothing is published"
}

case "${1:-}" in
  pack) (($# == 4)) || fail "usage: release.sh pack PROGRAM TAG FOLDER"; pack "$2" "$3" "$4" ;;
  sums) (($# >= 4)) || fail "usage: release.sh sums TAG FOLDER MACHINE..."; shift; sums "$@" ;;
  still) (($# == 3 || $# == 4)) || fail "usage: release.sh still TAG COMMIT [REMOTE]"; shift; still "$@" ;;
  *) fail "expected pack, sums or still" ;;
esac

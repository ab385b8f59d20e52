#!/usr/bin/env bash
# Brings the program and says where it is: `path` of this step, and on the PATH of those that follow.
#
# A release is believed if all of this holds:
#   1. The archive came over TLS (or from this machine).
#   2. Its SHA-256 is the one of the input `sha256`, else the one in the release's own SHA256SUMS.
#   3. `gh attestation verify` says that Tidegate's own workflow has built it. Where there is no gh, `provenance: auto` wants `sha256` instead, as a release that
#      somebody has replaced names the digest of the replacement; `provenance: skip` does without.
#   4. The program says that it is the version that was asked for: an old one, with holes that are known, can not stand in for it.

set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=actions/tidegate/say.sh
source "$here/say.sh"

readonly OWNER=tidegate/tidegate
readonly VERSION="${INPUT_VERSION#v}"
folder="$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/tidegate-install.XXXXXX")"

found() {
  local program="$1" expected="${2:-}" said
  said="$("$program" --version 2>/dev/null)" || fail "$program can not be executed here"
  [[ "$said" == tidegate\ * ]] || fail "$program is not Tidegate: its --version says $said"
  [[ -z "$expected" || "$said" == "tidegate $expected" ]] || fail "$program says that it is $said, and $expected was asked for: it is not used"
  printf '%s is %s\n' "$program" "$said"
  output path "$program"
  printf '%s\n' "$(dirname "$program")" >>"${GITHUB_PATH:-/dev/null}"
  exit 0
}

digest_of() {
  if command -v sha256sum >/dev/null; then sha256sum <"$1" | cut -d' ' -f1; else shasum -a 256 <"$1" | cut -d' ' -f1; fi
}

get() {
  local proto='=https'
  # A mirror on this machine, as in tests.
  [[ "$INPUT_RELEASES" =~ ^http://(127\.0\.0\.1|localhost)(:[0-9]+)?(/|$) ]] && proto='=http'
  curl --proto "$proto" --proto-redir '=https' --tlsv1.2 --fail --silent --show-error --location --retry 3 --max-time 600 --max-filesize 500000000 \
    --output "$2" -- "$1" || fail "$1 can not be downloaded"
}

from_release() {
  [[ "$VERSION" =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ]] || fail "version: expected one such as 0.1.0, found $INPUT_VERSION"
  [[ -z "$INPUT_SHA256" || "$INPUT_SHA256" =~ ^[0-9a-f]{64}$ ]] || fail "sha256: expected 64 lower-case hex digits, found $INPUT_SHA256"
  case "$INPUT_PROVENANCE" in auto | require | skip) ;; *) fail "provenance: expected auto, require or skip, found $INPUT_PROVENANCE" ;; esac
  local system machine
  system="$(uname -s)" machine="$(uname -m)"
  [[ "$system" == Linux ]] || fail "Tidegate runs on Linux, this is $system: ask a server for the run (mode: trigger) from a Linux runner"
  case "$machine" in
    x86_64 | aarch64) ;;
    *) fail "there is no release for $machine: build it (install: source)" ;;
  esac
  local archive="tidegate-$VERSION-$machine-linux.tar.gz" base="${INPUT_RELEASES%/}/v$VERSION" expected="$INPUT_SHA256" actual
  get "$base/$archive" "$folder/$archive"
  if [[ -z "$expected" ]]; then
    get "$base/SHA256SUMS" "$folder/SHA256SUMS"
    expected="$(awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }' "$folder/SHA256SUMS")"
    [[ "$expected" =~ ^[0-9a-f]{64}$ ]] || fail "SHA256SUMS of release $VERSION has no digest for $archive"
  fi
  actual="$(digest_of "$folder/$archive")"
  [[ "$actual" == "$expected" ]] || fail "$archive is not what it should be: its SHA-256 is $actual, expected $expected"
  printf '%s has the SHA-256 %s\n' "$archive" "$actual"
  provenance "$folder/$archive"
  tar --extract --gzip --file "$folder/$archive" --directory "$folder" --no-same-owner --no-same-permissions tidegate ||
    fail "$archive has no tidegate in it"
  [[ -f "$folder/tidegate" && ! -L "$folder/tidegate" ]] || fail "tidegate in $archive is not a file"
  chmod 0755 "$folder/tidegate"
  found "$folder/tidegate" "$VERSION"
}

provenance() {
  if [[ "$INPUT_PROVENANCE" == skip ]]; then
    warn "the provenance of Tidegate $VERSION was not verified (provenance: skip); its checksum was"
  elif command -v gh >/dev/null; then
    gh attestation verify "$1" --repo "$OWNER" --signer-workflow "$OWNER/.github/workflows/release.yml" --source-ref "refs/tags/v$VERSION" ||
      fail "gh does not confirm that $OWNER's own workflow has built Tidegate $VERSION: it is not used"
    printf 'gh confirms that the release workflow of %s has built it from the tag v%s\n' "$OWNER" "$VERSION"
  elif [[ "$INPUT_PROVENANCE" == auto && -n "$INPUT_SHA256" ]]; then
    printf 'gh is not on this runner: the provenance was not verified, the digest that the workflow names was\n'
  else
    fail "gh is not on this runner, so the provenance of Tidegate $VERSION can not be verified: install gh, name the archive's digest (sha256), or take the risk (provenance: skip)"
  fi
}

# The action's own repository, at the commit that the workflow has named.
from_source() {
  local root
  root="$(cd "$here/../.." && pwd)"
  [[ -f "$root/Cargo.lock" ]] || fail "install: source needs the whole repository around the action, and $root is not it"
  command -v cargo >/dev/null || fail "install: source needs cargo: install Rust from https://rustup.rs in a step before"
  cargo install --locked --path "$root" --root "$folder" --bin tidegate --no-track 2>&1 || fail "Tidegate could not be built from $root"
  found "$folder/bin/tidegate"
}

if [[ -n "$INPUT_BINARY" ]]; then
  [[ -f "$INPUT_BINARY" && -x "$INPUT_BINARY" ]] || fail "binary: $INPUT_BINARY is not a program"
  found "$(cd "$(dirname "$INPUT_BINARY")" && pwd)/$(basename "$INPUT_BINARY")"
fi
case "$INPUT_INSTALL" in
  release) from_release ;;
  source) from_source ;;
  *) fail "install: expected release or source, found $INPUT_INSTALL" ;;
esac

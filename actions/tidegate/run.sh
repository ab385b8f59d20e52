#!/usr/bin/env bash
# Inputs → arguments of the program, which does the rest: it reads the event, and tells the runner how it went.

set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=actions/tidegate/say.sh
source "$here/say.sh"

arguments=()

# `--name=line` for every line: what a line begins with is of no matter then.
each() {
  local name="$1" line
  while IFS= read -r line || [[ -n "$line" ]]; do
    line="${line%$'\r'}"
    [[ -z "${line//[[:space:]]/}" ]] || arguments+=("$name=$line")
  done <<<"$2"
}

others() {
  local line
  while IFS= read -r line || [[ -n "$line" ]]; do
    line="${line%$'\r'}"
    [[ -z "${line//[[:space:]]/}" ]] || arguments+=("$line")
  done <<<"$INPUT_ARGS"
}

[[ -x "$TIDEGATE_PROGRAM" ]] || fail "Tidegate was not installed"
case "$INPUT_MODE" in
  run)
    [[ -n "${GITHUB_EVENT_PATH:-}" ]] || fail "GITHUB_EVENT_PATH is not set: is this a GitHub workflow?"
    arguments+=(run --report=github-actions "--event=$GITHUB_EVENT_PATH" "--event-name=${GITHUB_EVENT_NAME:-}")
    each --step "$INPUT_STEP"
    each --param "$INPUT_PARAMS"
    others
    [[ -z "$INPUT_FILE" ]] || arguments+=(-- "$INPUT_FILE")
    ;;
  deploy)
    [[ -n "$INPUT_FUNCTION" && -n "$INPUT_ARTIFACT" ]] || fail "mode deploy needs the inputs function and artifact"
    arguments+=(deploy --report=github-actions "--artifact=$INPUT_ARTIFACT")
    [[ -z "$INPUT_FILE" ]] || arguments+=("--file=$INPUT_FILE")
    each --param "$INPUT_PARAMS"
    others
    arguments+=(-- "$INPUT_FUNCTION")
    ;;
  trigger)
    [[ -n "$TIDEGATE_SERVER" && -n "$INPUT_FILE" ]] || fail "mode trigger needs the inputs server and file"
    arguments+=(trigger --report=github-actions "--of=${INPUT_REPOSITORY:-${GITHUB_REPOSITORY:-}}" "--ref=${INPUT_REF:-${GITHUB_SHA:-}}")
    [[ "$INPUT_WAIT" != false ]] || arguments+=(--no-wait)
    each --param "$INPUT_PARAMS"
    others
    arguments+=(-- "$INPUT_FILE")
    ;;
  *) fail "mode: expected run, deploy or trigger, found $INPUT_MODE" ;;
esac

# What only the server is asked with is nobody else's.
if [[ "$INPUT_MODE" != trigger ]]; then unset TIDEGATE_SERVER TIDEGATE_TOKEN; fi
[[ -z "$INPUT_WORKING_DIRECTORY" ]] || cd -- "$INPUT_WORKING_DIRECTORY" || fail "working-directory: $INPUT_WORKING_DIRECTORY is not a folder"
exec "$TIDEGATE_PROGRAM" "${arguments[@]}"

# Sourced by the scripts beside it: words for the runner. Bash.

# One line, and nothing in it is a command or the end of one.
escaped() {
  local text="$1"
  text="${text//'%'/%25}"
  text="${text//$'\r'/%0D}"
  printf '%s' "${text//$'\n'/%0A}"
}

warn() { printf '::warning title=tidegate::%s\n' "$(escaped "$1")"; }

fail() {
  printf '::error title=tidegate::%s\n' "$(escaped "$1")"
  exit 2
}

# An output of this step. The delimiter is nothing that a value could know.
output() {
  local delimiter
  delimiter="tidegate-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
  printf '%s<<%s\n%s\n%s\n' "$1" "$delimiter" "$2" "$delimiter" >>"${GITHUB_OUTPUT:-/dev/null}"
}

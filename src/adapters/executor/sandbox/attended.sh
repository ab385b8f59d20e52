# What a person's shell in the sandbox of a step begins with: `sh THIS beginning|stop TERM`, on a terminal.
#
# The script is run as it was: by `sh -eu`, reading nothing, saying everything into one pipe. Its commands are traced into that pipe as well, marked by a
# character that no text has (\036), so that the last one is known. Its EXIT trap writes its variables down and becomes the shell. Where the script has a
# trap of its own, or became another program, there is none to become: then a shell follows it in the workspace.
script=/run/tidegate/script here=/tmp/.tidegate-shell from=$1 term=$2
mkdir "$here" && mkfifo "$here/said" || exit 1
printf '. "%s" 2>/dev/null\nPS1="(tidegate) \\$ " PS2="> " PS4="+ "\nexport TERM="%s"\n' "$here/variables" "$term" >"$here/start"
: >"$here/variables"

note() { printf '\033[1m%s\033[0m\n' "$*"; }
leave='`exit` leaves, and everything here is gone then.'

if [ "$from" = beginning ]; then
    note "Nothing of the step has run yet. Its script is $script: \`sh -eu $script\` runs it."
    note "$leave"
    TERM=$term ENV=$here/start
    export TERM ENV
    exec sh -i
fi

within='trap '\''{ tidegate_code=$?; set +eux; trap - EXIT; IFS=" "; } 2>/dev/null
set | grep -v -E "^(BASH[A-Z_]*|EUID|PPID|SHELLOPTS|UID|PS[0-9]|IFS|ENV|OPTIND|tidegate_code)=" >/tmp/.tidegate-shell/variables
printf "\036.%s\n" "$tidegate_code"
while ! [ -e /tmp/.tidegate-shell/told ]; do sleep 0.02; done
export ENV=/tmp/.tidegate-shell/start
exec sh -i <&3 >&4 2>&1 3<&- 4>&-'\'' EXIT
PS4=$(printf "\036+ ")
set -x
. "$0"'

mark=$(printf '\036')
listen() {
    last=
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        *"$mark+ "*)
            last=${line##*"$mark+ "} before=${line%%"$mark"*}
            [ -z "$before" ] || printf '%s\n' "$before"
            [ "$last" = ". $script" ] || printf '\033[2m+ %s\033[0m\n' "$last"
            ;;
        *"$mark."*)
            before=${line%%"$mark"*}
            [ -z "$before" ] || printf '%s\n' "$before"
            case ${line##*"$mark."} in
            0) note "The script has come to its end, and well." ;;
            *) note "The script stopped with exit code ${line##*"$mark."} at: $last" ;;
            esac
            note "This is a shell in its folder, with its variables (not its functions). $leave"
            : >"$here/told"
            ;;
        *) printf '%s\n' "$line" ;;
        esac
    done
}

exec 3<&0 4>&1
(trap '' INT QUIT TSTP && listen <"$here/said") &
# An interrupt is the script's, not this shell's.
trap : INT QUIT
sh -eu -c "$within" "$script" </dev/null >"$here/said" 2>&1
code=$?
[ ! -e "$here/told" ] || exit 0
sleep 0.1
note "The script ended with code $code and could not be held: it has an EXIT trap of its own, became another program, or was interrupted."
note "This is a shell in its workspace, without its variables. $leave"
export ENV="$here/start"
exec sh -i 3<&- 4>&-

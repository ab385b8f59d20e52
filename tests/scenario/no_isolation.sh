# sh THIS FIFO PROGRAM…: runs a program as root of a user namespace in which nobody can make another one: on a machine that can not isolate, but has what root has.
go=$1
shift
mkfifo "$go"
unshare --user --mount sh -c 'read -r go <"$0" && exec sh -c "echo 0 >/proc/sys/user/max_user_namespaces; exec \"\$@\"" sh "$@"' "$go" "$@" &
until [ "$(readlink /proc/$!/ns/user)" != "$(readlink /proc/self/ns/user)" ]; do sleep 0.01; done
echo '0 0 4294967295' >"/proc/$!/uid_map"
echo '0 0 4294967295' >"/proc/$!/gid_map"
echo >"$go"
wait $!

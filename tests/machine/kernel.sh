# Sourced by the other scripts here: a Debian kernel for a virtual machine, and how that sees this machine's files. Bash.

# Sets `folder`: the kernel of this Debian, as files in the cache. Wants `scratch`, and .ci/environment sourced.
find_kernel() {
  local package
  package="$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: //p' | head -1)"
  [[ -n "$package" ]] || { say "apt knows no kernel: apt-get update" >&2; return 1; }
  folder="$TIDEGATE_CACHE/$package"
  if [[ ! -e "$folder/.complete" ]]; then
    rm -rf "$folder" && mkdir -p "$folder"
    (cd "$scratch" && apt-get download "$package" >/dev/null 2>&1) || { say "$package can not be downloaded" >&2; return 1; }
    dpkg -x "$scratch/$package"_*.deb "$folder" && touch "$folder/.complete"
  fi
}

# What the host's files are seen through. Which needs which differs from kernel to kernel: they are tried again until all are in.
readonly MODULES=(virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci netfs fscache 9pnet 9pnet_virtio 9p overlay)

# The modules of the kernel in $1, into $2.
copy_modules() {
  local module found
  for module in "${MODULES[@]}"; do
    found="$(find "$1/lib/modules" -name "$module.ko*" | head -1)"
    [[ -z "$found" ]] || case "$found" in
      *.xz) xz -dc "$found" >"$2/$module.ko" ;;
      *.zst) zstd -qdc "$found" >"$2/$module.ko" ;;
      *) cp "$found" "$2/$module.ko" ;;
    esac
  done
}

# The beginning of the machine's first script: modules, and this machine's files on /root, with a layer on top.
first_script() {
  cat <<INIT
#!/bin/busybox sh
b=/bin/busybox
\$b mount -t proc proc /proc; \$b mount -t sysfs sys /sys; \$b mount -t devtmpfs dev /dev
for round in 1 2 3; do
  for module in ${MODULES[*]}; do [ ! -e /modules/\$module.ko ] || \$b insmod /modules/\$module.ko 2>/dev/null && \$b rm -f /modules/\$module.ko; done
done
\$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=1048576,cache=loose host /host || echo "no host"
\$b mount -t tmpfs -o size=90% over /over
\$b mkdir /over/up /over/work
\$b mount -t overlay -o lowerdir=/host,upperdir=/over/up,workdir=/over/work overlay /root || echo "no root"
INIT
}

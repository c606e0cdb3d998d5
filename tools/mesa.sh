# Sourced by lavapipe.sh and gpu-compilers.sh: a current Mesa in a folder of its own, without root and without touching
# the system's packages, on a Debian-family x86-64 machine.
#
# Mesa 26 needs a newer C library than Debian 12 has. So packages of Debian testing are unpacked into the folder, and
# copies of the node binary are pointed at that folder's dynamic loader. process.execPath is such a copy, and so every
# child process and test worker runs on the driver too.

# unpack_mesa DIR PACKAGE ...: the packages and all that they depend on, into DIR/root
unpack_mesa() {
  local dir=$1 apt=$1/apt mirror opts deb; shift
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$dir/root"; : > "$apt/status"
  # the mirror that this machine's apt uses; DEBIAN_MIRROR names another
  mirror=${DEBIAN_MIRROR:-$(grep -rhoE "^[^#]*https?://[^ ]+/debian/?( |$)" /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
    grep -oE "https?://[^ ]+/debian" | sort -u | sed -n 1p || true)}
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} testing main" \
    > "$apt/sources.list"
  opts=(-qq -o "Dir::State=$apt" -o "Dir::State::Lists=$apt/lists" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
        -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o APT::Install-Recommends=false -o Debug::NoLocking=1)
  apt-get "${opts[@]}" update >&2
  apt-get "${opts[@]}" install -y --download-only mesa-vulkan-drivers libvulkan1 libstdc++6 patchelf "$@" >/dev/null
  for deb in "$apt"/cache/archives/*.deb; do dpkg -x "$deb" "$dir/root"; done
  rm -rf "$apt"
  # LLVM's own RUNPATH would hide ours from its dependencies
  patch_elf "$dir" --remove-rpath "$(readlink -f "$dir"/root/usr/lib/x86_64-linux-gnu/libLLVM.so.*.*)"
}

# patch_elf DIR ARG ...: the unpacked patchelf, on the unpacked C library
patch_elf() {
  local dir=$1 lib=$1/root/usr/lib/x86_64-linux-gnu; shift
  "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$dir/root/usr/bin/patchelf" "$@"
}

# copy_node DIR NAME: DIR/NAME, a node binary that runs on the unpacked libraries
copy_node() {
  local dir=$1 node=$1/$2 lib=$1/root/usr/lib/x86_64-linux-gnu
  cp "$(readlink -f "$(command -v node)")" "$node"
  patch_elf "$dir" --no-sort --set-interpreter "$lib/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$lib" "$node"
}

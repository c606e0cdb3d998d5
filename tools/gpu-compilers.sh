#!/usr/bin/env bash
# Runs a Node.js program on the real shader compiler of a GPU that this machine does not have, on a Debian-family x86-64
# machine without root. Dawn sees the GPU as a hardware adapter with its true features and limits, and every pipeline
# goes through the driver's own compiler; only execution is missing: a submitted dispatch does nothing, buffers stay
# zero, timestamps say nothing.
#
#   bash gpu-compilers.sh GPU SCRIPT.js [ARG ...]   GPU_COMPILERS_DIR names the folder it keeps (.cache/gpu-compilers)
#
#   GPU        what it is                                             driver, compiler
#   navi21     AMD RDNA2 (RX 6800)      wave32/64                     RADV, ACO: the driver that AMD users on Linux run
#   navi31     AMD RDNA3 (RX 7900)      wave32/64, matrices 16x16x16  RADV, ACO
#   gfx1201    AMD RDNA4 (RX 9070)      wave32/64, matrices 16x16x16  RADV, ACO
#   vega10     AMD GCN 5 (Vega 64)      wave64                        RADV, ACO
#   tu102      NVIDIA Turing            32 lanes, matrices            NVK, NAK: real SASS; NVIDIA's own compiler differs in
#   ga102      NVIDIA Ampere            32 lanes, matrices            schedule, not in how many registers there are
#   m1         Apple M1                 32 lanes                      Honeykrisp, AGX
#   adreno740  Qualcomm                 64/128 lanes                  Turnip, IR3
#
# What the compiler says of a pipeline goes to stderr where a variable of the driver asks for it (src/compile/gpus.ts).
# `babelgrad audit compile --gpu GPU` makes a table of it.
#
# How: Mesa 26 and its drm-shim (a kernel interface that does nothing), unpacked by mesa.sh, and a copy of the node binary
# per shim that is linked to it. First use: about 75 MB of packages; later uses start at once.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/mesa.sh"
gpu=$1; shift
dir=${GPU_COMPILERS_DIR:-.cache/gpu-compilers}
dir=$(mkdir -p "$dir" && cd "$dir" && pwd)
icd=$dir/root/usr/share/vulkan/icd.d
case $gpu in
  navi*|gfx*|vega*) export AMDGPU_GPU_ID=$gpu VK_DRIVER_FILES=$icd/radeon_icd.json; shim=amdgpu;;
  tu102|ga102) case $gpu in tu102) id=162;; ga102) id=172;; esac
    export NOUVEAU_CHIPSET=$id NVK_I_WANT_A_BROKEN_VULKAN_DRIVER=1 VK_DRIVER_FILES=$icd/nouveau_icd.json; shim=nouveau;;
  m1) export VK_DRIVER_FILES=$icd/asahi_icd.json; shim=asahi;;
  adreno740) export FD_GPU_ID=740 VK_DRIVER_FILES=$icd/freedreno_icd.json; shim=freedreno;;
  *) echo "unknown GPU '$gpu'; see the head of this file" >&2; exit 2;;
esac
if [ ! -e "$dir/ready" ]; then
  unpack_mesa "$dir" mesa-drm-shim
  for name in amdgpu nouveau asahi freedreno; do
    copy_node "$dir" "node-$name"
    patch_elf "$dir" --no-sort --add-needed "$dir/root/usr/lib/x86_64-linux-gnu/lib${name}_noop_drm_shim.so" "$dir/node-$name"
  done
  touch "$dir/ready"
fi
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
exec "$dir/node-$shim" "$@"

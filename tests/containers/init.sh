#!/bin/sh
# The first process of the machine of its own, in fresh namespaces: changes the root, waits for the way out, runs Docker.
#   init.sh ROOT DOCKER_DATA PROJECT CGROUP_PARENT
set -eu
root=$1 data=$2 project=$3 cgroup=$4

mount --bind "$root" "$root"
cd "$root"
mkdir -p var/lib/docker project old
mount --bind "$data" var/lib/docker
mount --bind "$project" project
mount --rbind /dev dev
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
pivot_root . old
umount -l old

export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
until ip link show tap0 up > /run/tap0 2>&1 && grep -q LOWER_UP /run/tap0; do sleep 0.05; done
ip link set lo up
echo 'nameserver 10.0.2.3' > /etc/resolv.conf

# As process 1 it must reap what Docker leaves behind, and pass the end on.
dockerd --storage-driver overlay2 --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "$cgroup" &
docker=$!
trap 'kill -TERM $docker' TERM INT
while kill -0 $docker 2> /dev/null; do wait $docker || true; done

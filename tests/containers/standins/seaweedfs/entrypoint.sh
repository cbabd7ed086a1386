#!/bin/sh
# As the real one, in short: root hands over to a user without rights; arguments of its own come before the caller's.
set -eu
if [ "$(id -u)" = 0 ]; then
  chown -R seaweed:seaweed /data
  exec gosu seaweed "$0" "$@"
fi
[ "$1" = server ] || exec /usr/bin/weed "$@"
shift
exec /usr/bin/weed -logtostderr=true server -dir=/data -volume.max=0 -master.volumePreallocate \
  -master.volumeSizeLimitMB=1024 "$@"

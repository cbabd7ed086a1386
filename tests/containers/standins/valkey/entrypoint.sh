#!/bin/sh
# As the real one: root hands over to a user without rights.
set -eu
if [ "$(id -u)" = 0 ]; then
  chown -R valkey-image /data
  exec gosu valkey-image "$0" "$@"
fi
exec "$@"

#!/bin/sh
# Writes .env from deploy/.env.example with a fresh secret on every line that ends in "=". Never overwrites.
set -eu
cd "$(dirname "$0")/.."
target=${1:-.env}
[ ! -e "$target" ] || { echo "$target exists; its secrets may be in use. Move it away to make new ones." >&2; exit 1; }
umask 077
while IFS= read -r line; do
  case $line in
    [A-Z]*=) printf '%s%s\n' "$line" "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" ;;
    *) printf '%s\n' "$line" ;;
  esac
done < deploy/.env.example > "$target"
echo "wrote $target; keep it: the database and the store are created with what it says" >&2

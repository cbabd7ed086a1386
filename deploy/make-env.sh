#!/bin/sh
# Writes .env from deploy/.env.example with a fresh secret on every line that ends in "=". Where there is an .env already,
# adds the secrets that it lacks, as a newer release may ask for, and changes nothing else.
set -eu
cd "$(dirname "$0")/.."
target=${1:-.env}
umask 077

with_secret() { printf '%s%s\n' "$1" "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"; }

if [ -e "$target" ]; then
  added=
  [ -z "$(tail -c 1 "$target")" ] || echo >> "$target" # its last line may have no end
  while IFS= read -r line; do
    case $line in
      [A-Z]*=) grep -q "^$line" "$target" || { with_secret "$line" >> "$target"; added="$added ${line%=}"; } ;;
    esac
  done < deploy/.env.example
  echo "$target exists; ${added:+added:$added. }Nothing else in it was changed" >&2
  exit 0
fi
while IFS= read -r line; do
  case $line in
    [A-Z]*=) with_secret "$line" ;;
    *) printf '%s\n' "$line" ;;
  esac
done < deploy/.env.example > "$target"
echo "wrote $target; keep it: the database and the store are created with what it says" >&2

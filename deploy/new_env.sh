#!/bin/sh
# Writes .env, or the file that is named: env.example with new secrets. It replaces no file. The image prints the admin key,
# so build it first; ENGINE=podman where there is no docker.
set -eu
umask 077
file=${1:-.env}
engine=${ENGINE:-docker}
[ ! -e "$file" ] || { echo "$file exists; its secrets are in use" >&2; exit 1; }
key=$("$engine" run --rm compute-equity-marketplace marketplace serve new-admin-key)
while IFS= read -r line; do
  case $line in
    MARKETPLACE_ADMIN_KEY=) echo "$line$key" ;;
    [A-Z]*=) echo "${line}p$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" ;;
    *) echo "$line" ;;
  esac
done <"$(dirname "$0")/env.example" >"$file"
echo "$file has new secrets; keep a copy of it with the backups"

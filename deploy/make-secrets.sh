#!/bin/sh
# Makes what the compose profile `replicated` reads from deploy/secrets, once; keeps what is there.
set -eu
cd "$(dirname "$0")/secrets"
umask 077

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

[ -e hash_key ] || random > hash_key
[ -e database_password ] || random > database_password
printf 'postgresql://cds:%s@database/cds' "$(cat database_password)" > database_url

# Compose mounts the files as they are, and the containers run as other users: the folder keeps
# everybody else on this machine out.
chmod 0700 .
chmod 0444 hash_key database_password database_url

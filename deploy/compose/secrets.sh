#!/bin/sh
# Makes what the stacks keep secret, in `secrets` beside this: passwords, the URLs that hold them, the workers' token
# and certificates. What is there stays. Needs openssl. The certificates hold for a year: remove `secrets/*_cert` and
# `secrets/*_key` and run this again to renew them.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
# Nobody else enters the folder; the files themselves are read by the containers' own users.
chmod 0700 secrets
cd secrets

keep() { # keep FILE: standard input, unless the file is there
  if [ -s "$1" ]; then cat > /dev/null; else cat > "$1.new"; chmod 0444 "$1.new"; mv "$1.new" "$1"; fi
}
random() { openssl rand -hex 24; }

random | keep postgres_password
random | keep redis_password
random | keep rabbitmq_password
random | keep worker_token
random | keep route_key
printf 'postgres://aidt:%s@postgres:5432/aidt\n' "$(cat postgres_password)" | keep database_url
printf 'redis://:%s@redis:6379\n' "$(cat redis_password)" | keep lock_url
printf 'amqp://aidt:%s@rabbitmq:5672/%%2f\n' "$(cat rabbitmq_password)" | keep rabbitmq_url
printf 'kafka://kafka:9092\n' | keep kafka_url
printf 'appendonly yes\nappendfsync everysec\nsave ""\ndir /data\nrequirepass %s\n' "$(cat redis_password)" | keep redis_conf
printf 'default_user = aidt\ndefault_pass = %s\n' "$(cat rabbitmq_password)" | keep rabbitmq_conf

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256; }
if [ ! -s worker_ca ]; then
  key 2> /dev/null | keep worker_ca_key
  chmod 0400 worker_ca_key
  openssl req -x509 -new -key worker_ca_key -subj '/CN=aidt workers' -days 3650 \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign | keep worker_ca
fi
identity() { # identity FILES NAME
  [ -s "$1_cert" ] && [ -s "$1_key" ] && return
  rm -f "$1_cert" "$1_key"
  key 2> /dev/null | keep "$1_key"
  printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$2" > "$1.ext"
  openssl req -new -key "$1_key" -subj "/CN=$2" \
    | openssl x509 -req -CA worker_ca -CAkey worker_ca_key -set_serial "0x$(openssl rand -hex 16)" \
      -days 365 -extfile "$1.ext" 2> /dev/null | keep "$1_cert"
  rm -f "$1.ext"
}
# The name that workers dial.
identity steps step-consumer
identity worker tool-worker
echo "secrets: $(pwd)"

#!/bin/sh
# Makes docker/secrets: one file a secret, random where it can be; what is there already stays as it is.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p "${1:-secrets}"
cd "${1:-secrets}"

random() {
  head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'
}

# keep NAME VALUE: containers run as other users, so the files are readable and the folder alone is closed.
keep() {
  [ -e "$1" ] && return
  printf '%s\n' "$2" > "$1"
  chmod 0444 "$1"
}

keep secret_key "$(random)$(random)"
keep database_password "$(random)"
keep database_url "postgres://clearmatte:$(cat database_password)@database:5432/clearmatte"
keep queue_password "$(random)"
keep redis_url "redis://:$(cat queue_password)@queue:6379/0"
keep valkey.conf "requirepass $(cat queue_password)
save \"\"
appendonly no
maxmemory 256mb
maxmemory-policy noeviction"
keep s3_access_key "$(random)"
keep s3_secret_key "$(random)"
keep s3.json "{\"identities\": [{\"name\": \"clearmatte\", \"actions\": [\"Admin\", \"Read\", \"Write\", \"List\", \"Tagging\"],
  \"credentials\": [{\"accessKey\": \"$(cat s3_access_key)\", \"secretKey\": \"$(cat s3_secret_key)\"}]}]}"
keep metrics_token "$(random)"
# Nothing can be made up for these: write your own into them.
keep email_url "consolemail://"
keep stripe_secret_key ""
keep stripe_webhook_secrets ""
keep sentry_dsn ""

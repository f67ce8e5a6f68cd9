#!/bin/sh
# An MLflow server as teams run it, for trying: runs in PostgreSQL, files served through it, a user and a password.
# Needs PostgreSQL (Debian: postgresql) and uv. Usage: serve.sh [FOLDER] [PORT]; ends both with Ctrl-C.
set -eu
folder=$(mkdir -p "${1:-mlflow-server}" && cd "${1:-mlflow-server}" && pwd)
port=${2:-5000}
command -v uv > /dev/null || { echo "uv is not installed: pip install uv" >&2; exit 1; }
database=$((port + 1))
binaries=$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -V | tail -1 || true)
[ -n "$binaries" ] || binaries=$(dirname "$(command -v initdb || { echo "PostgreSQL is not installed" >&2; exit 1; })")

# PostgreSQL refuses to run as root: there it runs as its own user.
as_database() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
[ "$(id -u)" != 0 ] || { mkdir -p "$folder/database" && chown postgres "$folder/database" && chmod 755 "$folder"; }
cd /
if [ ! -e "$folder/database/PG_VERSION" ]; then
  as_database "$binaries/initdb" --pgdata "$folder/database" --username mlflow --auth trust > /dev/null
fi
as_database "$binaries/pg_ctl" --pgdata "$folder/database" --wait start --log "$folder/database/log" \
  --options "-h 127.0.0.1 -p $database -k $folder/database" > /dev/null
trap 'as_database "$binaries/pg_ctl" --pgdata "$folder/database" --mode fast stop > /dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for name in mlflow users; do
  as_database "$binaries/createdb" -h 127.0.0.1 -p "$database" -U mlflow "$name" 2> /dev/null || true
done

if [ ! -e "$folder/password" ]; then
  (umask 077 && od -An -N12 -tx1 /dev/urandom | tr -d ' \n' > "$folder/password")
fi
cat > "$folder/auth.ini" << INI
[mlflow]
default_permission = READ
database_uri = postgresql://mlflow@127.0.0.1:$database/users
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
INI
echo "MLFLOW_TRACKING_URI=http://127.0.0.1:$port MLFLOW_TRACKING_USERNAME=admin MLFLOW_TRACKING_PASSWORD=$(cat "$folder/password")"
export MLFLOW_AUTH_CONFIG_PATH="$folder/auth.ini" MLFLOW_AUTH_ADMIN_PASSWORD="$(cat "$folder/password")"
export MLFLOW_FLASK_SERVER_SECRET_KEY="$(cat "$folder/password")"
# What it runs in the background is for language models.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
uv tool run --with 'psycopg[binary]' --from 'mlflow[auth]>=3.5,<4' mlflow server --app-name basic-auth \
  --host 127.0.0.1 --port "$port" --workers 1 \
  --backend-store-uri "postgresql://mlflow@127.0.0.1:$database/mlflow" \
  --artifacts-destination "$folder/files" --serve-artifacts

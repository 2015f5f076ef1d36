#!/bin/sh
# Creates roles and databases when PostgreSQL starts for the first time. Each service's role owns nothing.
set -eu

create() {
    psql --username postgres --set ON_ERROR_STOP=1 --quiet \
        --set name="$1" --set owner="$2" --set user_password="$(cat "/run/secrets/$1")" \
        --set owner_password="$(cat "/run/secrets/$2")" <<'SQL'
CREATE ROLE :"owner" LOGIN PASSWORD :'owner_password';
CREATE ROLE :"name" LOGIN PASSWORD :'user_password';
CREATE DATABASE :"name" OWNER :"owner";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"name" TO :"name";
\connect :name
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"name";
SQL
}

for name in identity registration notification; do
    create "$name" "${name}_owner"
done

psql --username postgres --set ON_ERROR_STOP=1 --quiet --set password="$(cat /run/secrets/temporal)" <<'SQL'
CREATE ROLE temporal LOGIN PASSWORD :'password';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
SQL

#!/bin/sh
# Brings Temporal's two databases to the schema of its release.
set -eu

for pair in temporal:temporal temporal_visibility:visibility; do
    database="${pair%%:*}"
    versions="/etc/temporal/schema/postgresql/v12/${pair##*:}/versioned"
    tool="temporal-sql-tool --plugin postgres12 --ep postgres -p 5432 -u temporal --db $database"
    # A new database has no table of versions yet.
    $tool update-schema -d "$versions" || {
        $tool setup-schema -v 0.0
        $tool update-schema -d "$versions"
    }
done

"""PostgreSQL: engine, migrations, limits, sweeps."""

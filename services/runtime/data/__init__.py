"""PostgreSQL: engine, migrations, rate limits, periodic deletion."""

"""From the checked build to what other people's programs read. Knows neither Dagster nor dbt."""

"""What people read: tidy run tables, statistics, figures, the report and the benchmarks."""

"""What people run: job specifications and the command line."""

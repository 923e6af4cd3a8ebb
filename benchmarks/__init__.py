"""What it can do, measured: `make bench`. Every figure names the machine and the commit; peers run alongside."""

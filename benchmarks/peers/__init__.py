"""What it is measured against, in the same run."""

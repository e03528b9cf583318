"""What a run found, drawn: plots and pages."""

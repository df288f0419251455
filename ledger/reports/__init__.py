"""What the ledger tells: one file for each report, one for what all of them are made of, one for each format."""

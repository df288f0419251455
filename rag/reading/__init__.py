"""Files become text: each kind by its reader, found by `catalogue`."""

"""Other students than the recipe's: a search for the cheapest, and what more examples would bring."""

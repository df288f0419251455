"""From a conversation to passages: words, rewriting, rankings and their fusion, reranking, and what is worth it."""

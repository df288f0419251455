"""The index of a store in memory, in segments that never change: BM25 and nearest vectors."""

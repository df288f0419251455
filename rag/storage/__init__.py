"""Files, stores and documents, kept in SQLite or PostgreSQL under one set of tables."""

"""What is kept: the spool between detection and database, the database, and the evidence files."""

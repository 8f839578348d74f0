"""What has been committed, told to whoever listens."""

"""Folders that lie elsewhere, in S3 and whatever else fsspec knows, worked on as local copies."""

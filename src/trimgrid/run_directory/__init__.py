"""What a run keeps on the disk, and how it survives."""

"""latentlake's library: learned archives of data-lake partitions."""

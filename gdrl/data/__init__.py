"""Opens, checks and draws images; the other rooms see parquet shards only."""

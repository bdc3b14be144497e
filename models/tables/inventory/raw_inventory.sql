{{ raw_rows('inventory') }}

{{ clean_rows('inventory') }}

{{ newest_rows('inventory') }}

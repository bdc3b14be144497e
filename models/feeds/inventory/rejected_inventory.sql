{{ rejected_rows('inventory') }}

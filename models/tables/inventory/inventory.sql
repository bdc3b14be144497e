{{ current_rows('inventory') }}

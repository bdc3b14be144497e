{{ typed_rows('inventory') }}

{{ newest_rows('sales', day='sold_at') }}

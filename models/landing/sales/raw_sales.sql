{{ raw_rows('sales') }}

{{ clean_rows('sales') }}

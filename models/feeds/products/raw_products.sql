{{ raw_rows('products') }}

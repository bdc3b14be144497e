{{ clean_rows('products') }}

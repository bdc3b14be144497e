{{ typed_rows('products') }}

{{ typed_rows('sales', lists=['currencies']) }}

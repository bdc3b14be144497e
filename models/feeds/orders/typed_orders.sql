{{ typed_rows('orders', lists=['currencies']) }}

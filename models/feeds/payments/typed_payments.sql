{{ typed_rows('payments', lists=['currencies']) }}

{{ typed_rows('model_runs') }}

// Builds the k6 that `npm run bench:k6` runs; bin/setup --bench does it and keeps the result outside the tree.
module thaw/bench/k6

go 1.25.0

require go.k6.io/k6/v2 v2.0.0

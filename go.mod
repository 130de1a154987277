module fovea

go 1.26

require github.com/goccy/go-yaml v1.19.2

require go.uber.org/goleak v1.3.0

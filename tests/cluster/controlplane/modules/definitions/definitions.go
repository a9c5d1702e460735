// Package definitions makes `go mod tidy` keep the types that definitions are written from.
package definitions

import _ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"

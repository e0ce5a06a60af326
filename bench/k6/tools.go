//go:build tools

// Names the one program built from this module, so that go.mod keeps it. Nothing here is ever run.
package tools

import _ "go.k6.io/k6/v2"

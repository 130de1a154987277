// Package models holds the models that come with Fovea: a folder each, as in any model repository, without weights.
package models

import "embed"

// Shipped holds the definitions and the files that they name.
//
//go:embed */model.yaml */labels.txt */self_test.jpg */NOTICE
var Shipped embed.FS

package scenario

import _ "embed"

// Keys is a file that says everything that a scenario may say. It is for people: no fleet could have all of it.
//
//go:embed keys.yaml
var Keys string

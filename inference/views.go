package inference

import (
	"fmt"
	"slices"
	"strings"
)

// viewSuffix is the end of the name under which a model takes images where M takes tensors (package internal/v2).
const viewSuffix = ".image"

// refuseViews refuses models whose names are those of the views of others.
func refuseViews(models []repoModel) {
	for i := range models {
		base, ok := strings.CutSuffix(models[i].name, viewSuffix)
		if ok && slices.ContainsFunc(models, func(m repoModel) bool { return m.name == base }) {
			models[i] = repoModel{name: models[i].name, gone: true, err: fmt.Errorf("its name is that under which model %s takes images over the "+
				"Open Inference Protocol; rename the folder", base)}
		}
	}
}

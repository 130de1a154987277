package inference

import (
	"fmt"
	"slices"
	"strings"

	"fovea/internal/repository"
)

// refuseViews refuses models whose names are those of the views of others.
func refuseViews(models []repoModel) {
	for i := range models {
		base, ok := strings.CutSuffix(models[i].name, repository.ViewSuffix)
		if ok && slices.ContainsFunc(models, func(m repoModel) bool { return m.name == base }) {
			models[i] = repoModel{name: models[i].name, gone: true, err: fmt.Errorf("its name is that under which model %s takes images over the "+
				"Open Inference Protocol; rename the folder", base)}
		}
	}
}

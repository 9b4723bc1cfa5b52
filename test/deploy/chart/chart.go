// Package chart renders the Helm chart of the project.
package chart

import (
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"sigs.k8s.io/yaml"
)

// Release is where the chart is installed.
type Release struct{ Name, Namespace string }

// Render renders the chart in a folder as `helm template` does, with values on top of its own.
func Render(folder string, r Release, values []byte) (string, error) {
	chart, err := loader.Load(folder)
	if err != nil {
		return "", err
	}
	var given map[string]any
	if err := yaml.Unmarshal(values, &given); err != nil {
		return "", err
	}
	install := action.NewInstall(new(action.Configuration))
	install.DryRun, install.ClientOnly = true, true
	install.KubeVersion = &chartutil.KubeVersion{Version: "v1.30.0", Major: "1", Minor: "30"}
	install.ReleaseName, install.Namespace = r.Name, r.Namespace
	release, err := install.Run(chart, given)
	if err != nil {
		return "", err
	}
	return release.Manifest, nil
}
